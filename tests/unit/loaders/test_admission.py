"""The judgment of one declared source, rule by rule."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.registry import load_contracts
from lakehouse.settings import LakehouseSettings
from lakehouse.strict_json import Breach
from loaders.manifests.admission import DEFAULT_POLICY, SEVERITY, judge_file
from loaders.manifests.manifest import Manifest, ManifestFile
from tests.conftest import source, ticket_manifest

CHECKSUM = "0" * 64
DOCUMENT = "omni://contracts/data/doc_asset/v1"
JUDGMENTS = list(SEVERITY)
CONTRACTS = load_contracts(LakehouseSettings()).by_ref


def judged(asset_type="jsonl", manifest=None, **fields):
    """Judge a source that lacks nothing, but for what is given."""
    declared = source("a", "a.jsonl", asset_type, **{"checksum_sha256": CHECKSUM, **fields})
    document = Manifest.model_validate(ticket_manifest([declared], **(manifest or {})))
    file = ManifestFile(Path("a.json"), "hash", document)
    (admission,) = judge_file(file, CONTRACTS)
    return admission


def test_a_source_that_lacks_nothing_is_accepted_without_reasons():
    admission = judged()

    assert (admission.judgment, admission.reasons, admission.is_admitted) == ("accept", (), True)


@pytest.mark.parametrize(
    ("asset_type", "fields", "manifest", "judgment", "said"),
    [
        pytest.param("jsonl", {"checksum_sha256": None}, {}, "warn", "checksum_sha256 is missing", id="checksum"),
        pytest.param("jsonl", {"metadata_status": "partial"}, {}, "warn", "metadata_status is partial", id="partial"),
        pytest.param("jsonl", {"metadata_status": "missing"}, {}, "quarantine", "status is missing", id="missing"),
        pytest.param("jsonl", {"metadata_status": "unknown"}, {}, "quarantine", "status is unknown", id="unknown"),
        pytest.param(
            "jsonl", {"pii_scan_status": "not_run"}, {}, "quarantine", "pii_scan_status is not_run", id="no scan"
        ),
        pytest.param("jsonl", {"pii_scan_status": "unknown"}, {}, "quarantine", "status is unknown", id="scan unknown"),
        pytest.param("jsonl", {"pii_scan_status": "suspected"}, {}, "quarantine", "is suspected", id="suspected"),
        pytest.param(
            "pdf",
            {"contract_ref": "omni://contracts/data/ticket/v1"},
            {"modality": "multimodal"},
            "reject",
            "asset_type pdf does not fit the contract ticket",
            id="contract mismatch",
        ),
        pytest.param("jsonl", {}, {"license_tag": "unknown"}, "reject", "license_tag is unknown", id="license"),
    ],
)
def test_a_finding_is_judged_by_its_default_and_named(asset_type, fields, manifest, judgment, said):
    admission = judged(asset_type, manifest, **fields)

    (reason,) = admission.reasons
    assert admission.judgment == judgment
    assert reason.startswith(f"{judgment}: ") and said in reason


@pytest.mark.parametrize("status", ["clear", "redacted", "not_applicable"])
def test_a_finished_scan_without_suspicion_is_accepted(status):
    assert judged(pii_scan_status=status).judgment == "accept"


def test_a_tombstone_needs_no_checksum():
    assert judged(checksum_sha256=None, deleted=True).judgment == "accept"


def test_a_source_with_its_own_contract_is_judged_by_that_contract():
    fits = judged("pdf", {"modality": "multimodal"}, contract_ref=DOCUMENT)
    misfits = judged("csv", {"modality": "multimodal"}, contract_ref=DOCUMENT)

    assert (fits.judgment, misfits.judgment) == ("accept", "reject")


@pytest.mark.parametrize("absent", ["metadata_status", "pii_scan_status"])
def test_an_absent_status_counts_as_unknown(absent):
    declared = {k: v for k, v in source("a", "a.jsonl", checksum_sha256=CHECKSUM).items() if k != absent}
    manifest = Manifest.model_validate(ticket_manifest([declared]))

    (admission,) = judge_file(ManifestFile(Path("a.json"), "hash", manifest), CONTRACTS)

    assert admission.judgment == "quarantine"
    assert admission.reasons == (f"quarantine: {absent} is unknown",)


FINDINGS = {
    "on_missing_checksum": {"checksum_sha256": None},
    "on_partial_metadata": {"metadata_status": "partial"},
    "on_missing_metadata": {"metadata_status": "missing"},
    "on_pii_gap": {"pii_scan_status": "not_run"},
    "on_contract_mismatch": {"asset_type": "pdf"},
    "on_unknown_license": {"manifest": {"license_tag": "unknown"}},
}


def judged_under(policy, finding):
    fields = dict(FINDINGS[finding])
    manifest = {"gate_policy": policy, **fields.pop("manifest", {})}
    return judged(fields.pop("asset_type", "jsonl"), manifest, **fields)


def test_every_gate_has_a_finding_that_it_judges():
    assert FINDINGS.keys() == DEFAULT_POLICY.keys()


@pytest.mark.parametrize("judgment", JUDGMENTS)
@pytest.mark.parametrize("gate", list(FINDINGS))
def test_a_gate_judges_its_own_finding(gate, judgment):
    assert judged_under({gate: judgment}, gate).judgment == judgment


@pytest.mark.parametrize("finding", list(FINDINGS))
@pytest.mark.parametrize("gate", list(FINDINGS))
def test_a_gate_leaves_the_findings_of_other_gates_at_their_defaults(gate, finding):
    if gate != finding:
        assert judged_under({gate: "accept"}, finding).judgment == DEFAULT_POLICY[finding]


@pytest.mark.parametrize("judgment", JUDGMENTS)
def test_suspected_personal_data_is_quarantined_whatever_the_policy_says(judgment):
    policy = dict.fromkeys(DEFAULT_POLICY, judgment)

    admission = judged(manifest={"gate_policy": policy}, pii_scan_status="suspected")

    assert admission.judgment == "quarantine"
    assert not admission.is_admitted


def test_a_finding_that_the_policy_accepts_is_no_reason():
    admission = judged(manifest={"gate_policy": {"on_missing_checksum": "accept"}}, checksum_sha256=None)

    assert (admission.judgment, admission.reasons) == ("accept", ())


def test_the_worst_finding_decides_and_every_finding_is_named():
    admission = judged(
        "pdf",
        {"license_tag": "unknown"},
        checksum_sha256=None,
        metadata_status="missing",
        pii_scan_status="suspected",
    )

    assert admission.judgment == "reject"
    assert [reason.split(":")[0] for reason in admission.reasons] == [
        "warn",
        "quarantine",
        "quarantine",
        "reject",
        "reject",
    ]


def test_a_mild_finding_after_a_grave_one_does_not_soften_the_judgment():
    policy = {"on_missing_checksum": "reject"}

    admission = judged(manifest={"gate_policy": policy}, checksum_sha256=None, metadata_status="partial")

    assert admission.judgment == "reject"
    assert len(admission.reasons) == 2


@pytest.mark.parametrize(
    ("judgment", "is_admitted"), [("accept", True), ("warn", True), ("quarantine", False), ("reject", False)]
)
def test_only_accepted_and_warned_sources_may_be_loaded(judgment, is_admitted):
    assert judged_under({"on_missing_checksum": judgment}, "on_missing_checksum").is_admitted == is_admitted


def test_a_file_that_is_no_valid_manifest_has_no_judgments():
    assert judge_file(ManifestFile(Path("a.json"), "hash", None, (Breach("$", "[]", "an object"),)), CONTRACTS) == []


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────
CHECKSUMS = st.sampled_from([CHECKSUM, None])
METADATA = st.sampled_from(["complete", "partial", "missing", "unknown"])
SCANS = st.sampled_from(["clear", "redacted", "suspected", "not_run", "not_applicable", "unknown"])
POLICIES = st.dictionaries(st.sampled_from(list(DEFAULT_POLICY)), st.sampled_from(JUDGMENTS))
DECLARED = st.fixed_dictionaries({"checksum_sha256": CHECKSUMS, "metadata_status": METADATA, "pii_scan_status": SCANS})


@given(
    declared=st.lists(DECLARED, min_size=1, max_size=5),
    policy=POLICIES,
    license_tag=st.sampled_from(["cc_by", "unknown"]),
    data=st.data(),
)
def test_a_judgment_depends_on_the_source_alone_and_not_on_the_order_of_sources(declared, policy, license_tag, data):
    assets = [source(f"s{number}", "a.jsonl", **fields) for number, fields in enumerate(declared)]

    def judgments(ordered):
        document = ticket_manifest(ordered, gate_policy=policy, license_tag=license_tag)
        admissions = judge_file(ManifestFile(Path("a.json"), "hash", Manifest.model_validate(document)), CONTRACTS)
        return {a.source.source_id: (a.judgment, a.reasons) for a in admissions}

    assert judgments(assets) == judgments(data.draw(st.permutations(assets)))


@given(
    declared=DECLARED,
    policy=POLICIES,
    worse=st.sampled_from(
        [
            {"checksum_sha256": None},
            {"pii_scan_status": "suspected"},
            {"asset_type": "pdf"},
            {"license_tag": "unknown"},
        ]
    ),
)
def test_one_more_finding_never_improves_a_judgment(declared, policy, worse):
    # `suspected` always quarantines, so a policy that rejects an unscanned source judges it harder than a suspected one.
    policy = {gate: judgment for gate, judgment in policy.items() if (gate, judgment) != ("on_pii_gap", "reject")}

    def judgment(worse):
        fields = {**declared, **worse}
        license_tag = fields.pop("license_tag", "cc_by")
        manifest = {"gate_policy": policy, "license_tag": license_tag}
        return SEVERITY[judged(fields.pop("asset_type", "jsonl"), manifest, **fields).judgment]

    assert judgment(worse) >= judgment({})


@given(declared=DECLARED, stricter=st.sampled_from(list(DEFAULT_POLICY)))
def test_a_stricter_gate_never_improves_a_judgment(declared, stricter):
    before = judged("pdf", {"license_tag": "unknown"}, **declared)
    after = judged("pdf", {"license_tag": "unknown", "gate_policy": {stricter: "reject"}}, **declared)

    assert SEVERITY[after.judgment] >= SEVERITY[before.judgment]
    assert len(after.reasons) == len(before.reasons)


def test_a_judgment_keeps_the_manifest_version_that_it_speaks_of():
    admission = judged()

    assert (*admission.key, admission.file.sha256) == ("manifest-tickets-20260501-001", "a", "hash")
