"""Reading the manifest folder: every breach is named, and one bad file never hides another."""

import hashlib
import json
import os

import pytest

from lakehouse import settings as settings_module
from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from loaders.manifests.manifest import SCHEMA_FILE, read_manifests
from tests.conftest import document_manifest, source, ticket_manifest

TICKET = "omni://contracts/data/ticket/v1"
DOCUMENT = "omni://contracts/data/doc_asset/v1"
AUDIO = "omni://contracts/data/audio_asset/v1"
VIDEO = "omni://contracts/data/video_asset/v1"
REQUIRED = (
    "manifest_id",
    "schema_version",
    "batch_id",
    "modality",
    "source_type",
    "license_tag",
    "contract_ref",
    "load_mode",
    "assets",
    "created_at",
    "owner",
)
FOLDER = "manifest-a-20260501-001.json"


def read(settings, content, name=FOLDER):
    """Read one manifest file of the given bytes, text or document."""
    content = content if isinstance(content, str | bytes) else json.dumps(content)
    (settings.manifests / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (file,) = read_manifests(settings)
    return file


def tickets(**fields):
    return {**ticket_manifest([source("a", "a.jsonl")]), **fields}


def documents(**fields):
    return document_manifest("2026-05-01", [source("a", "a.html", "html")], **fields)


def recordings(**fields):
    kind = {"modality": "audio", "source_type": "call_recording", "contract_ref": AUDIO}
    return {**ticket_manifest([source("a", "a.wav", "audio")]), **kind, **fields}


def clips(**fields):
    kind = {"modality": "video", "source_type": "screencast", "contract_ref": VIDEO}
    return {**ticket_manifest([source("a", "a.mp4", "video")]), **kind, **fields}


def test_a_manifest_is_judged_anew_once_it_or_what_it_is_judged_by_has_changed(settings):
    known = read(settings, tickets())
    assert read_manifests(settings)[0] is known

    assert read(settings, tickets(owner="others")).manifest.owner == "others"

    schema = json.loads((PROJECT_ROOT / "manifests" / "schema" / SCHEMA_FILE).read_text())
    schema["required"].append("product_line")
    (settings.manifests / "schema").mkdir()
    (settings.manifests / "schema" / SCHEMA_FILE).write_text(json.dumps(schema))
    assert [each.found for each in read(settings, tickets()).breaches] == ["no product_line"]

    (settings.manifests / "schema" / SCHEMA_FILE).unlink()
    contract = json.loads((PROJECT_ROOT / "manifests" / "contracts" / "ticket_event.json").read_text())
    contract["asset"]["fits"]["modality"] = ["audio"]
    (settings.manifests / "contracts").mkdir()
    (settings.manifests / "contracts" / "ticket_event.json").write_text(json.dumps(contract))
    assert [each.path for each in read(settings, tickets()).breaches] == ["$.modality"]


def of_source(asset_type="jsonl", **fields):
    return ticket_manifest([source("a", "a.jsonl", asset_type, **fields)])


def without(document, name):
    return {key: value for key, value in document.items() if key != name}


def without_in_source(name):
    return ticket_manifest([without(source("a", "a.jsonl"), name)])


def case(manifest, path, said, name):
    return pytest.param(manifest, path, said, id=name)


def window(mode, **fields):
    return tickets(load_mode=mode, selection_window=fields)


MISSING = [case(without(tickets(), name), "$", f"{name}, which is required", f"no {name}") for name in REQUIRED]
MISSING += [
    case(
        ticket_manifest([without(source("a", "a.jsonl"), name)]),
        "$.assets[0]",
        f"{name}, which is required",
        f"source without {name}",
    )
    for name in ("source_id", "source_url_or_path", "asset_type")
]

UNKNOWN = [
    case(tickets(colour="red"), "$", "the unknown property colour", "unknown property"),
    case(of_source(colour="red"), "$.assets[0]", "the unknown property colour", "unknown property of a source"),
    case(
        window("full_snapshot", until="x"), "$.selection_window", "the unknown property until", "unknown window field"
    ),
    case(tickets(gate_policy={"on_rain": "warn"}), "$.gate_policy", "the unknown property on_rain", "unknown gate"),
    case(tickets(ingest_config={"speed": 1}), "$.ingest_config", "the unknown property speed", "unknown ingest option"),
]

VALUES = [
    case(tickets(modality="smell"), "$.modality", 'found "smell"', "modality"),
    case(tickets(source_type="fax"), "$.source_type", "one of ['help_center'", "source_type"),
    case(tickets(license_tag="mit"), "$.license_tag", "one of ['public_domain'", "license_tag"),
    case(tickets(contract_ref="omni://contracts/data/ticket/v2"), "$.contract_ref", TICKET, "contract_ref"),
    case(tickets(load_mode="append"), "$.load_mode", "one of ['full_snapshot'", "load_mode"),
    case(tickets(schema_version="source_manifest_v2"), "$.schema_version", "'source_manifest_v1'", "schema_version"),
    case(tickets(product_line="southstar"), "$.product_line", "northstar_workspace", "product_line"),
    case(tickets(canonization_status="holy"), "$.canonization_status", "canonized", "canonization_status"),
    case(tickets(disposition="append"), "$.disposition", "one of ['merge', 'replace']", "disposition"),
    case(tickets(gate_policy={"on_pii_gap": "ignore"}), "$.gate_policy.on_pii_gap", "quarantine", "gate judgment"),
    case(
        tickets(ingest_config={"parser": "marker"}),
        "$.ingest_config.parser",
        "found \"marker\", allowed: one of ['auto', 'docling', 'unstructured', 'pypdf', 'ocr', 'media', 'custom', "
        "'whisper', 'ffmpeg']",
        "parser",
    ),
    case(tickets(ingest_config={"parser": ""}), "$.ingest_config.parser", "'ffmpeg']", "empty parser"),
    case(of_source("xlsx"), "$.assets[0].asset_type", "one of ['jsonl'", "asset_type"),
    case(of_source(metadata_status="fine"), "$.assets[0].metadata_status", "complete", "metadata_status"),
    case(of_source(pii_scan_status="ok"), "$.assets[0].pii_scan_status", "suspected", "pii_scan_status"),
    case(of_source(checksum_sha256="A" * 64), "$.assets[0].checksum_sha256", "^[0-9a-f]{64}$", "checksum in capitals"),
    case(of_source(checksum_sha256="ab"), "$.assets[0].checksum_sha256", "^[0-9a-f]{64}$", "short checksum"),
    case(of_source(size_bytes=-1), "$.assets[0].size_bytes", "0 or more", "negative size"),
    case(of_source(size_bytes="12"), "$.assets[0].size_bytes", "type integer", "size as text"),
    case(of_source(deleted="no"), "$.assets[0].deleted", "type boolean", "deleted as text"),
    case(tickets(manifest_id="manifest-a-2026-1"), "$.manifest_id", "text that matches ^manifest-", "id pattern"),
    case(tickets(manifest_id="manifest-A-20260501-001"), "$.manifest_id", "^manifest-[a-z0-9_-]+", "id in capitals"),
    case(tickets(manifest_id=7), "$.manifest_id", "type string", "id as number"),
    case(tickets(batch_id=""), "$.batch_id", 'found ""', "empty batch_id"),
    case(tickets(owner=None), "$.owner", "found null, allowed: a value of type string", "owner is null"),
    case(tickets(mapping="../desk"), "$.mapping", "^[a-z0-9_]+$", "mapping outside its folder"),
    case(tickets(max_deleted_ratio=1.5), "$.max_deleted_ratio", "1 or less", "ratio over 1"),
    case(tickets(created_at="2026-05-01T00:00:00"), "$.created_at", "with an offset", "created_at without offset"),
    case(tickets(created_at="2026-05-01"), "$.created_at", "with an offset", "created_at is a day"),
    case(tickets(created_at="yesterday"), "$.created_at", "with an offset", "created_at is no instant"),
    case(tickets(snapshot_at="2026-05-01T00:00:00"), "$.snapshot_at", "with an offset", "snapshot_at without offset"),
    case(ticket_manifest([]), "$.assets", "at least 1 of them", "no sources"),
    case(tickets(assets={}), "$.assets", "type array", "sources are no list"),
    case(ticket_manifest(["a.jsonl"]), "$.assets[0]", "type object", "source is a text"),
]

MISFITS = [
    case(tickets(modality="document"), "$.modality", f"structured under {TICKET}", "ticket, modality"),
    case(tickets(source_type="faq"), "$.source_type", f"ticket_export under {TICKET}", "ticket, source_type"),
    case(of_source("pdf"), "$.assets[0].asset_type", "csv, json, jsonl, parquet under", "ticket, asset_type"),
    case(documents(modality="structured"), "$.modality", f"document under {DOCUMENT}", "document, modality"),
    case(documents(source_type="ticket_export"), "$.source_type", "help_center", "document, source_type"),
    case(
        document_manifest("2026-05-01", [source("a", "a.csv", "csv")]),
        "$.assets[0].asset_type",
        "html",
        "document, asset_type",
    ),
    case(recordings(modality="video"), "$.modality", f"audio under {AUDIO}", "audio, modality"),
    case(
        recordings(source_type="screencast"),
        "$.source_type",
        "call_recording, other, tts_synthetic",
        "audio, source_type",
    ),
    case(
        recordings(assets=[source("a", "a.mp4", "video")]),
        "$.assets[0].asset_type",
        "audio, jsonl, other",
        "audio, asset_type",
    ),
    case(clips(modality="image"), "$.modality", f"video under {VIDEO}", "video, modality"),
    case(
        clips(source_type="call_recording"), "$.source_type", "other, screencast, tutorial_video", "video, source_type"
    ),
    case(
        clips(assets=[source("a", "a.wav", "audio")]),
        "$.assets[0].asset_type",
        "jsonl, other, video",
        "video, asset_type",
    ),
    case(
        tickets(modality="multimodal", source_type="faq"),
        "$.source_type",
        "ticket_export under",
        "multimodal, source_type",
    ),
    case(
        tickets(modality="multimodal", assets=[source("a", "a.pdf", "pdf")]),
        "$.assets[0].asset_type",
        "jsonl",
        "multimodal, asset_type without a contract of its own",
    ),
    case(
        of_source("pdf", contract_ref=DOCUMENT), "$.assets[0].contract_ref", "unless it is multimodal", "own contract"
    ),
]

RULES = [
    case(
        tickets(license_tag="unknown", canonization_status="canonized"),
        "$.canonization_status",
        "not canonized while license_tag is unknown",
        "unknown license canonized",
    ),
    case(window("incremental_cursor", cursor_start="1"), "$.selection_window", "no cursor_field", "incremental, field"),
    case(
        window("incremental_cursor", cursor_field="id"), "$.selection_window", "no cursor_start", "incremental, start"
    ),
    case(window("cdc", cursor_start="1"), "$.selection_window", "no cursor_field or watermark_field", "cdc"),
    case(window("replay"), "$.selection_window", "no replay_from_batch", "replay"),
    case(window("replay", replay_from_batch=None), "$.selection_window", "no replay_from_batch", "replay of null"),
    case(tickets(load_mode="replay", selection_window=None), "$.selection_window", "no replay_from", "null window"),
    case(window("backfill", start_at="2026-05-01T00:00:00Z"), "$.selection_window", "no end_at", "backfill, end"),
    case(window("backfill", end_at="2026-05-01T00:00:00Z"), "$.selection_window", "no start_at", "backfill, start"),
]


@pytest.mark.parametrize(("manifest", "path", "said"), [*MISSING, *UNKNOWN, *VALUES, *MISFITS, *RULES])
def test_a_breach_is_refused_with_its_json_path_what_was_found_and_what_is_allowed(settings, manifest, path, said):
    file = read(settings, manifest)

    (breach,) = file.breaches
    assert (file.manifest, file.manifest_id, file.is_readable) == (None, None, True)
    assert breach.path == path
    assert said in str(breach)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            '{"manifest_id": "a", "manifest_id": "b"}', "key 'manifest_id' twice in one object", id="key twice"
        ),
        pytest.param('{"assets": [{"a": 1, "a": 1}]}', "key 'a' twice", id="key twice in a source"),
        pytest.param(json.dumps(tickets(owner="Zoë"), ensure_ascii=False).encode("latin-1"), "utf-8", id="not UTF-8"),
        pytest.param(json.dumps(tickets()).encode("utf-16"), "utf-8", id="UTF-16"),
        pytest.param("manifest_id: manifest-a-20260501-001", "Expecting value", id="not JSON"),
        pytest.param(json.dumps(tickets())[:-1], "Expecting ',' delimiter", id="cut off"),
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("[" * 100_000, "recursion", id="nested without end"),
        pytest.param("[" * 500 + "]" * 500, "Recursion", id="nested deeper than a schema is checked"),
    ],
)
def test_what_is_no_json_is_unreadable_and_says_why(settings, content, said):
    file = read(settings, content)

    (breach,) = file.breaches
    assert (file.manifest, file.is_readable, breach.path, breach.allowed) == (None, False, "$", "UTF-8 JSON")
    assert said in breach.found


@pytest.mark.parametrize("document", [[], [tickets()], "a manifest", 7, None])
def test_json_that_is_no_object_is_refused(settings, document):
    (breach,) = read(settings, json.dumps(document)).breaches

    assert (breach.path, breach.allowed) == ("$", "a value of type object")


def test_a_folder_named_like_a_manifest_is_unreadable_and_hides_no_other(settings):
    (settings.manifests / "a.json").mkdir()
    (settings.manifests / "b.json").write_text(json.dumps(tickets()))

    folder, manifest = read_manifests(settings)

    assert (folder.manifest, folder.is_readable) == (None, False)
    assert manifest.manifest_id == "manifest-tickets-20260501-001"


def test_all_breaches_of_the_schema_are_listed(settings):
    manifest = ticket_manifest([source("a", "a.jsonl", "xlsx", colour="red"), source("b", "")], load_mode="append", x=1)

    breaches = read(settings, without(manifest, "owner")).breaches

    assert sorted(breach.path for breach in breaches) == [
        "$",
        "$",
        "$.assets[0]",
        "$.assets[0].asset_type",
        "$.assets[1].source_url_or_path",
        "$.load_mode",
    ]


def test_all_breaches_of_the_rules_are_listed(settings):
    manifest = ticket_manifest(
        [source("a", "a.jsonl"), source("a", "a.pdf", "pdf", contract_ref=DOCUMENT), source("c", "c.pdf", "pdf")],
        license_tag="unknown",
        canonization_status="canonized",
        modality="audio",
        source_type="faq",
        load_mode="backfill",
    )

    breaches = read(settings, manifest).breaches

    assert [breach.path for breach in breaches] == [
        "$.canonization_status",
        "$.assets[0].source_id",
        "$.assets[1].source_id",
        "$.modality",
        "$.source_type",
        "$.assets[1].contract_ref",
        "$.assets[2].asset_type",
        "$.selection_window",
        "$.selection_window",
    ]


def test_each_source_that_shares_its_id_is_named(settings):
    twice = ticket_manifest([source("a", "a.jsonl"), source("b", "b.jsonl"), source("a", "c.jsonl")])

    breaches = read(settings, twice).breaches

    assert [str(breach) for breach in breaches] == [
        '$.assets[0].source_id: found "a", allowed: an id that no other source has',
        '$.assets[2].source_id: found "a", allowed: an id that no other source has',
    ]


@pytest.mark.parametrize(
    ("manifest", "path", "found"),
    [
        pytest.param(tickets(owner="a\ud800b"), "$.owner", r'"a\ud800b"', id="value"),
        pytest.param(tickets(notes="\udfff"), "$.notes", r'"\udfff"', id="value that nothing uses"),
        pytest.param(of_source(title="\udc00"), "$.assets[0].title", r'"\udc00"', id="value of a source"),
        pytest.param(window("cdc", cursor_field="\ud800"), "$.selection_window.cursor_field", r'"\ud800"', id="window"),
        pytest.param(tickets(**{"\ud800": 1}), r"$.\ud800", r'"\ud800"', id="key"),
        pytest.param(of_source(x=[{"\udc00": {"y": 1}}]), r"$.assets[0].x[0].\udc00", r'"\udc00"', id="deep key"),
        pytest.param("a\ud800", "$", r'"a\ud800"', id="no object"),
        pytest.param(tickets(manifest_id="\ud800"), "$.manifest_id", r'"\ud800"', id="value that breaks a rule, too"),
    ],
)
def test_a_lone_surrogate_is_refused_where_it_stands_and_shown_escaped(settings, manifest, path, found):
    (breach,) = read(settings, json.dumps(manifest)).breaches

    assert (breach.path, breach.found) == (path, found)
    assert "without a lone surrogate; next: " in breach.allowed


def test_each_lone_surrogate_is_named(settings):
    breaches = read(
        settings, tickets(owner="\ud800", assets=[source("\udc00", "a.jsonl"), source("b", "\udc00")])
    ).breaches

    assert [b.path for b in breaches] == ["$.owner", "$.assets[0].source_id", "$.assets[1].source_url_or_path"]


def test_a_pair_of_surrogates_is_a_character(settings):
    assert read(settings, json.dumps(tickets(owner="\U0001f600"))).manifest.owner == "\U0001f600"


def test_a_file_whose_name_is_no_utf_8_is_refused_can_be_shown_and_hides_no_other(settings):
    (settings.manifests / os.fsdecode(b"a\xff.json")).write_text(json.dumps(tickets()))
    (settings.manifests / "b.json").write_text(json.dumps(tickets()))

    refused, valid = read_manifests(settings)

    assert (refused.path.name, refused.is_readable) == (r"a\udcff.json", False)
    assert str(refused.breaches[0]) == (
        r'$: found the file name "a\udcff.json", allowed: a name in UTF-8; next: rename the file'
    )
    assert valid.manifest is not None


def test_a_long_value_is_shortened_in_its_breach(settings):
    (breach,) = read(settings, tickets(load_mode="x" * 5000)).breaches

    assert len(breach.found) == 78 and breach.found.endswith("…")


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(tickets(), id="tickets"),
        pytest.param(documents(), id="documents"),
        pytest.param(recordings(), id="audio"),
        pytest.param(clips(), id="video"),
        pytest.param(
            tickets(modality="multimodal", assets=[source("a", "a.pdf", "pdf", contract_ref=DOCUMENT)]),
            id="multimodal, a source with its own contract",
        ),
        pytest.param(documents(modality="multimodal"), id="multimodal, without"),
        pytest.param(of_source(contract_ref=TICKET), id="a source that repeats the manifest's contract"),
        pytest.param(tickets(license_tag="unknown"), id="unknown license, not canonized"),
        pytest.param(tickets(canonization_status="canonized"), id="canonized under a known license"),
        pytest.param(window("incremental_cursor", cursor_field="id", cursor_start="1"), id="incremental"),
        pytest.param(window("cdc", cursor_field="id"), id="cdc by cursor"),
        pytest.param(window("cdc", watermark_field="updated_at"), id="cdc by watermark"),
        pytest.param(window("replay", replay_from_batch="batch-1"), id="replay"),
        pytest.param(
            window("backfill", start_at="2026-04-01T00:00:00Z", end_at="2026-05-01T00:00:00+08:00"), id="backfill"
        ),
        pytest.param(tickets(created_at="2026-05-01T08:00:00.5+08:00"), id="offset and fraction"),
    ],
)
def test_a_manifest_within_the_rules_is_read(settings, manifest):
    file = read(settings, manifest)

    assert file.breaches == ()
    assert file.manifest_id == manifest["manifest_id"]


@pytest.mark.parametrize(
    "parser", ["auto", "docling", "unstructured", "pypdf", "ocr", "media", "custom", "whisper", "ffmpeg"]
)
def test_a_parser_of_the_format_is_read(settings, parser):
    assert read(settings, tickets(ingest_config={"parser": parser})).breaches == ()


SCHEMA = json.loads((PROJECT_ROOT / "manifests" / "schema" / SCHEMA_FILE).read_text("utf-8"))
OPTIONAL = sorted(SCHEMA["properties"].keys() - set(REQUIRED))
OPTIONAL_OF_SOURCE = sorted(
    SCHEMA["$defs"]["asset"]["properties"].keys() - {"source_id", "source_url_or_path", "asset_type"}
)
OPTIONS = [(name, part) for name in OPTIONAL for part in SCHEMA["properties"][name].get("properties", ())]


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        *(pytest.param(tickets(**{name: None}), tickets(), id=name) for name in OPTIONAL),
        *(
            pytest.param(tickets(**{name: {part: None}}), tickets(**{name: {}}), id=f"{name}.{part}")
            for name, part in OPTIONS
        ),
        *(
            pytest.param(of_source(**{name: None}), without_in_source(name), id=f"source's {name}")
            for name in OPTIONAL_OF_SOURCE
        ),
    ],
)
def test_null_in_an_optional_field_is_as_if_it_were_not_there(settings, given, plain):
    found, expected = read(settings, given), read(settings, plain)

    assert found.breaches == ()
    assert found.manifest.model_dump(exclude_unset=True) == expected.manifest.model_dump(exclude_unset=True)


@pytest.mark.parametrize("name", REQUIRED)
def test_null_in_a_required_field_is_refused(settings, name):
    (breach,) = read(settings, tickets(**{name: None})).breaches

    assert (breach.path, breach.found) == (f"$.{name}", "null")


@pytest.mark.parametrize("name", ["source_id", "source_url_or_path", "asset_type"])
def test_null_in_a_required_field_of_a_source_is_refused(settings, name):
    (breach,) = read(settings, ticket_manifest([{**source("a", "a.jsonl"), name: None}])).breaches

    assert (breach.path, breach.found) == (f"$.assets[0].{name}", "null")


@pytest.mark.parametrize("given", [tickets(colour=None), of_source(colour=None)], ids=["manifest", "source"])
def test_null_makes_no_unknown_property_known(settings, given):
    (breach,) = read(settings, given).breaches

    assert breach.found == "the unknown property colour"


def test_every_declared_contract_fits_its_source_in_a_multimodal_manifest(settings):
    assets = [source("a", "a.jsonl"), source("b", "b.pdf", "pdf", contract_ref=DOCUMENT)]

    manifest = read(settings, tickets(modality="multimodal", assets=assets)).manifest

    assert [manifest.contract_of(each) for each in manifest.assets] == [TICKET, DOCUMENT]


@pytest.mark.parametrize(
    ("fields", "day"),
    [
        ({"created_at": "2026-05-01T00:30:00+08:00"}, "2026-04-30"),
        ({"created_at": "2026-05-01T00:00:00Z", "snapshot_at": "2026-04-14T23:30:00-01:00"}, "2026-04-15"),
    ],
)
def test_a_snapshot_belongs_to_the_utc_day_of_its_instant(settings, fields, day):
    assert str(read(settings, documents(**fields)).manifest.snapshot_date) == day


def test_a_byte_order_mark_is_accepted_and_counts_to_the_hash(settings):
    content = b"\xef\xbb\xbf" + json.dumps(tickets()).encode()

    file = read(settings, content)

    assert file.manifest is not None
    assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_of_two_files_with_one_manifest_id_the_second_is_refused_and_names_the_first(settings):
    for name in ("b.json", "a.json", "c.json"):
        (settings.manifests / name).write_text(json.dumps(tickets()))

    first, *others = read_manifests(settings)

    assert (first.path.name, first.breaches) == ("a.json", ())
    assert [file.manifest for file in others] == [None, None]
    for file in others:
        assert [breach.path for breach in file.breaches] == ["$.manifest_id"]
        assert "an id that a.json does not have" in str(file.breaches[0])


def test_a_refused_file_does_not_take_the_id_from_a_valid_one(settings):
    (settings.manifests / "a.json").write_text(json.dumps(tickets(colour="red")))
    (settings.manifests / "b.json").write_text(json.dumps(tickets()))

    refused, valid = read_manifests(settings)

    assert refused.manifest is None
    assert valid.manifest is not None


def test_only_json_files_that_are_no_schema_are_manifests(settings):
    for name in ("source_manifest.json", "source_manifest_v1.schema.json", "notes.txt", "a.json.bak"):
        (settings.manifests / name).write_text("no manifest")
    (settings.manifests / "mappings").mkdir()
    (settings.manifests / "mappings" / "deep.json").write_text("no manifest")

    assert read_manifests(settings) == []


def test_manifests_are_read_in_the_order_of_their_names(settings):
    for number in (3, 1, 2):
        (settings.manifests / f"{number}.json").write_text(
            json.dumps(tickets(manifest_id=f"manifest-a-20260501-00{number}"))
        )

    assert [file.manifest_id[-1] for file in read_manifests(settings)] == ["1", "2", "3"]


def test_a_missing_manifest_folder_is_an_error_that_says_what_to_set(tmp_path):
    settings = LakehouseSettings(home=tmp_path, manifests=tmp_path / "nowhere")

    with pytest.raises(ConfigurationError, match="nowhere does not exist; next: set OMNI_MANIFESTS"):
        read_manifests(settings)


def test_a_missing_schema_is_an_error_and_never_nothing_to_check(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(settings_module, "PROJECT_ROOT", tmp_path / "a repository without manifests")

    with pytest.raises(ConfigurationError, match="cannot be used: .*; next: restore it"):
        read_manifests(settings)


@pytest.mark.parametrize("content", ["", "{", '{"type": "objekt"}', '{"required": "owner"}', "[]"])
def test_a_broken_schema_is_an_error_and_never_nothing_to_check(settings, content):
    (settings.manifests / "schema").mkdir()
    (settings.manifests / "schema" / SCHEMA_FILE).write_text(content)

    with pytest.raises(ConfigurationError, match=f"{SCHEMA_FILE} cannot be used"):
        read_manifests(settings)


def test_the_schema_of_the_manifest_folder_goes_before_the_one_that_ships(settings):
    (settings.manifests / "schema").mkdir()
    (settings.manifests / "schema" / SCHEMA_FILE).write_text('{"required": ["blessing"]}')

    (breach,) = read(settings, tickets()).breaches

    assert breach.allowed == "blessing, which is required"


# ── what once slipped through ────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "created_at", ["2026-W16-3T08:00:00Z", "20260415T080000Z", "2026-04-15T08Z", "2026-04-15T08:00:00+08:00:30"]
)
def test_an_instant_in_another_iso_form_never_hides_the_other_manifests(settings, created_at):
    (settings.manifests / "a.json").write_text(json.dumps(tickets(created_at=created_at)))
    (settings.manifests / "b.json").write_text(json.dumps(tickets()))

    assert len(read_manifests(settings)) == 2


def test_a_size_beyond_all_sizes_never_hides_the_other_manifests(settings):
    (settings.manifests / "a.json").write_text(json.dumps(of_source(size_bytes=1e30)))
    (settings.manifests / "b.json").write_text(json.dumps(tickets()))

    assert len(read_manifests(settings)) == 2


def test_a_line_feed_behind_an_id_is_refused(settings):
    assert read(settings, tickets(manifest_id="manifest-a-20260501-001\n")).breaches


def test_nan_is_no_json(settings):
    assert read(settings, tickets(max_deleted_ratio=float("nan"))).breaches


def test_an_instant_outside_the_calendar_is_refused(settings):
    assert read(settings, documents(created_at="0001-01-01T00:00:00+14:00")).breaches


# ── size ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_ten_thousand_sources_of_which_one_is_bad_are_judged_and_the_bad_one_is_named(settings):
    assets = [source(f"s{number}", f"{number}.jsonl") for number in range(10_000)]
    assets[7_777]["asset_type"] = "xlsx"

    (breach,) = read(settings, ticket_manifest(assets)).breaches

    assert breach.path == "$.assets[7777].asset_type"


def test_a_manifest_of_fifty_megabytes_is_read(settings):
    file = read(settings, tickets(notes="x" * 50_000_000))

    assert file.manifest is not None


def test_breaches_of_the_schema_hide_no_breach_of_the_rules(settings):
    manifest = ticket_manifest(
        [source("a", "a.jsonl", colour="red"), source("a", "b.pdf", "pdf")], owner=7, load_mode="cdc"
    )

    breaches = read(settings, manifest).breaches

    assert {breach.path for breach in breaches} == {
        "$.owner",
        "$.assets[0]",
        "$.assets[0].source_id",
        "$.assets[1].source_id",
        "$.assets[1].asset_type",
        "$.selection_window",
    }


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [None], [{"source_id": ["a"]}]])
@pytest.mark.parametrize("name", [*REQUIRED, "selection_window", "gate_policy", "canonization_status"])
def test_no_value_of_any_field_ends_the_reading(settings, name, value):
    assert read(settings, tickets(**{name: value})) is not None
