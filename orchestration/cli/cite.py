"""`omni cite`: where a passage stands, and by what it came; or where a quotation stands, if it does."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.settings import load_settings
from orchestration.cli.console import JsonOption, console, reported, say

if TYPE_CHECKING:
    from orchestration.knowledge.citations import Citation, Quotation


def cite_command(
    passage_id: Annotated[str | None, typer.Argument(help="Of knowledge_passage.")] = None,
    check: Annotated[
        tuple[str, str] | None, typer.Option(metavar="TEXT DOC_ID", help="Whether a document says this, and where.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where a passage stands and by what it came, or check a quotation: exit 0 proved, 1 not, 2 error."""
    with reported():
        if (passage_id is None) == (check is None):
            raise ConfigurationError("omni cite: expected a passage id, or --check with a text and a document")
        from orchestration.knowledge.citations import cite, find_quotation

        if check:
            is_proved = _show_quotation(find_quotation(load_settings(), *check), check[1], as_json=as_json)
        else:
            is_proved = _show_citation(cite(load_settings(), str(passage_id)), as_json=as_json)
    raise typer.Exit(0 if is_proved else 1)


def _show_citation(citation: "Citation", *, as_json: bool) -> bool:
    from orchestration.knowledge.citations import provenance

    passage, came_by = citation.passage, provenance(citation)
    if as_json:
        console.print_json(
            data={
                **passage,
                "prefix": citation.prefix,
                "suffix": citation.suffix,
                "is_resolved": citation.is_resolved,
                "provenance": came_by,
                "link": citation.link,
                "verdict": citation.verdict,
            },
            default=str,
        )
        return citation.is_proved
    say(f"{passage['passage_id']} {' > '.join(passage['heading_path'])}".rstrip())
    around = (f"… {citation.prefix}" if citation.prefix else "", f"{citation.suffix} …" if citation.suffix else "")
    if around[0]:
        say(*_indented(around[0]))
    say(*(f"  | {line}" for line in passage["text"].split("\n")))
    if around[1]:
        say(*_indented(around[1]))
    said = "resolves to this text" if citation.is_resolved else "DOES NOT resolve to this text; next: omni verify"
    say(f"  anchor    {_place(passage)}, {said}")
    say(*(f"  {name:<9} {value}" for name, value in came_by.items()))
    if citation.link:
        say(f"  link      {citation.link}")
    not_ready = "" if citation.verdict == "READY" else "; next: omni explain knowledge_passage"
    say(f"  verdict   knowledge_passage is {citation.verdict}{not_ready}")
    return citation.is_proved


def _show_quotation(found: "Quotation", doc_id: str, *, as_json: bool) -> bool:
    is_proved = bool(found.sections) and found.verdict == "READY"
    if as_json:
        data = {"sections": found.sections, "passages": found.passages, "verdict": found.verdict}
        console.print_json(data=data, default=str)
        return is_proved
    if not found.sections:
        say(f"{doc_id} does not say this, as it is now")
    for section in found.sections:
        say(f"{doc_id} {_place(section)} {' > '.join(section['heading_path'])}".rstrip())
    say(*(f"  passage {passage_id}" for passage_id in found.passages))
    not_ready = "" if found.verdict == "READY" else "; next: omni explain knowledge_section"
    say(f"  verdict knowledge_section is {found.verdict}{not_ready}")
    return is_proved


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in text.split("\n")]


def _place(row: dict[str, Any]) -> str:
    if row["page"] is not None:
        return f"page {row['page']}, {len(row['boxes']) // 4} lines"
    at = f"bytes {row['byte_start']}..{row['byte_end']}"
    return at if row["start_seconds"] is None else f"{at}, {row['start_seconds']:.1f}..{row['end_seconds']:.1f} s"
