"""What stands beside a question: the change it would make, how much it could do, and another call in its place."""

from __future__ import annotations

import json
import shutil
from typing import Any

from test_keys import make
from webserver import Answer, Person, WebServer

LINES = "".join(f"line {number}\n" for number in range(1, 41))


def ask(person: Person, conversation: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """Make a call that asks; its question."""
    call = person.call(tool, conversation_id=conversation, **arguments)
    assert call.status == 202, call.text
    questions = person.get("/api/approvals").json["approvals"]
    (asked,) = [question for question in questions if question["id"] == call.json["approval_id"]]
    return asked


def answer(person: Person, question: dict[str, Any], decision: str = "approve", **more: Any) -> Answer:
    return person.post(f"/api/approvals/{question['id']}", {"decision": decision, **more})


def do(person: Person, conversation: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """Make a call that asks and approve it; what it was said to change in its one file."""
    question = ask(person, conversation, tool, **arguments)
    result = answer(person, question).json
    assert result["status"] == "ok", result
    (file,) = question["change"]["files"]
    assert not file["note"]
    return file


def content(person: Person, conversation: str, path: str) -> str:
    return person.get(f"/api/conversations/{conversation}/files/{path}").text


def test_what_is_shown_is_what_changes(ada: Person) -> None:
    here = ada.conversation()
    made = do(ada, here, "files.write", path="a.txt", content=LINES)
    assert (made["did"], made["diff"][:2], len(made["diff"])) == ("made", ["@@ -0,0 +1,40 @@", "+line 1"], 41)
    edited = do(ada, here, "files.edit", path="./a.txt", old="line 20\n", new="twenty\nand more")
    assert edited["did"] == "changed"
    assert edited["diff"] == [
        "@@ -17,8 +17,8 @@",
        *(f" line {number}" for number in (17, 18, 19)),
        "-line 20",
        "-line 21",
        "+twenty",
        "+and moreline 21",
        *(f" line {number}" for number in (22, 23, 24)),
    ]
    diff = "--- a/a.txt\n+++ b/b.txt\n@@ -1,2 +1,2 @@\n-line 1\n+one\n line 2\n"
    renamed = do(ada, here, "files.patch", diff=diff)
    assert (renamed["path"], renamed["did"]) == ("a.txt → b.txt", "renamed")
    assert renamed["diff"][:4] == ["@@ -1,4 +1,4 @@", "-line 1", "+one", " line 2"]
    assert content(ada, here, "b.txt") == LINES.replace("line 1\n", "one\n", 1).replace("line 20\n", "twenty\nand more")
    crlf = do(ada, here, "files.write", path="dos.txt", content="a\r\nb\r\n")
    assert crlf["diff"][1:] == ["+a", "+b"]
    every = do(ada, here, "files.edit", path="dos.txt", old="\n", new="\nx\n", every=True)
    assert every["diff"][1:] == [" a", "+x", " b", "+x"]
    assert content(ada, here, "dos.txt") == "a\r\nx\r\nb\r\nx\r\n"
    added = do(ada, here, "files.write", path="dos.txt", content="end", append=True)
    assert added["diff"][-2:] == ["+end", "\\ No newline at end of file"]
    gone = do(ada, here, "files.delete", path="dos.txt")
    assert (gone["did"], len(gone["diff"])) == ("deleted", 7)


def shown(person: Person, conversation: str, tool: str, **arguments: Any) -> list[tuple[str, str, list[str], str]]:
    """What a call that asks would change; it is refused then."""
    question = ask(person, conversation, tool, **arguments)
    answer(person, question, "refuse")
    return [(file["path"], file["did"], file["diff"], file["note_code"]) for file in question["change"]["files"]]


def test_a_move_and_an_undo_are_shown_with_what_they_take_away_and_bring_back(ada: Person, server: WebServer) -> None:
    here = ada.conversation()
    do(ada, here, "files.write", path="a.txt", content="one\n")
    do(ada, here, "files.write", path="d/b.txt", content="two\n", folders=True)
    assert shown(ada, here, "files.move", source="a.txt", target="c.txt") == [("a.txt → c.txt", "renamed", [], "")]
    assert shown(ada, here, "files.move", source="a.txt", target="d/b.txt")[0][3] == "exists"
    assert shown(ada, here, "files.move", source="d", target="d/e")[0][3] == "into_itself"
    assert shown(ada, here, "files.move", source="none", target="c.txt")[0][3] == "missing"
    assert shown(ada, here, "files.move", source="d", target="e") == [("d → e", "renamed", [], "folder_moves")]
    over = ask(ada, here, "files.move", source="a.txt", target="d/b.txt", replace=True)
    files = [(file["path"], file["did"], file["diff"]) for file in over["change"]["files"]]
    assert files == [("d/b.txt", "deleted", ["@@ -1,1 +0,0 @@", "-two"]), ("a.txt → d/b.txt", "renamed", [])]
    assert answer(ada, over).json["status"] == "ok"

    # What a tool planted is passed over by the host as it is by the tool: what is shown is what is carried out.
    kept = next(server.data.glob(f"workspaces/**/{here}")) / ".toolhost" / "changes"
    (kept / "98").symlink_to("1")
    (kept / "97").mkdir()
    step = {"did": "binned", "path": "new", "item": "/tmp"}
    (kept / "97" / "change.json").write_text(json.dumps({"tool": "x", "made": 1, "steps": [step]}))
    (kept / "99").mkdir()
    (kept / "99" / "change.json").symlink_to("../1/change.json")
    assert shown(ada, here, "files.undo") == [
        ("d/b.txt → a.txt", "renamed", [], ""),
        ("d/b.txt", "made", ["@@ -0,0 +1,1 @@", "+two"], ""),
    ]
    # What the tool would take and the host does not read is never passed over: another change would be shown.
    for name, unread in (("100", "file_too_large"), ("101", "file_has_links")):
        (kept / name).mkdir()
        record = (kept / "1" / "change.json").read_text()
        (kept / name / "change.json").write_text(record + " " * (2 << 20 if name == "100" else 0))
        if name == "101":
            (kept / name / "again").hardlink_to(kept / name / "change.json")
        assert shown(ada, here, "files.undo") == [(".toolhost/changes", "unclear", [], f"unshown_{unread}")]
        shutil.rmtree(kept / name)
    for number in (97, 98):
        assert shown(ada, here, "files.undo", change=number)[0][3] == "nothing_kept"
    assert shown(ada, here, "files.undo", change=1)[0][3] == "changed_since"
    assert shown(ada, here, "files.undo", change=9)[0][3] == "nothing_kept"
    asked = ask(ada, here, "files.undo")
    do(ada, here, "files.write", path="later.txt", content="later\n")
    assert answer(ada, asked).json["error"]["code"] == "plan_changed"
    gone = do(ada, here, "files.undo")
    assert (gone["path"], gone["did"], gone["diff"]) == ("later.txt", "deleted", ["@@ -1,1 +0,0 @@", "-later"])
    edited = do(ada, here, "files.edit", path="d/b.txt", old="one", new="uno")
    back = do(ada, here, "files.undo")
    assert (back["did"], back["diff"][1:], edited["diff"][1:]) == ("changed", ["-uno", "+one"], ["-one", "+uno"])


def test_a_yes_is_worth_nothing_where_it_would_change_something_else_by_then(ada: Person) -> None:
    here = ada.conversation()
    do(ada, here, "files.write", path="a.txt", content=LINES)
    first = ask(ada, here, "files.edit", path="a.txt", old="line 3\n", new="three\nand\n")
    far = ask(ada, here, "files.edit", path="a.txt", old="line 30\n", new="thirty\n")
    near = ask(ada, here, "files.edit", path="a.txt", old="line 5\n", new="five\n")
    whole = ask(ada, here, "files.write", path="a.txt", content="all of it\n")
    assert answer(ada, first).json["status"] == "ok"
    assert answer(ada, far).json["status"] == "ok", "what it shows is still so, two lines further down"
    for other in (near, whole):
        refused = answer(ada, other)
        assert (refused.status, refused.code) == (409, "plan_changed")
    assert "five" not in content(ada, here, "a.txt")


def test_what_cannot_be_shown_or_would_fail_is_said(ada: Person, server: WebServer) -> None:
    here = ada.conversation()
    do(ada, here, "files.write", path="a.txt", content="x\nx\n")
    folder = next(server.data.glob(f"workspaces/**/{here}"))
    (folder / "binary").write_bytes(b"\0\1")
    (folder / "out").symlink_to("/etc/hostname")
    (folder / "long.txt").write_text("".join(f"{number}\n" for number in range(3000)))

    def note(tool: str, **arguments: Any) -> str:
        question = ask(ada, here, tool, **arguments)
        answer(ada, question, "refuse")
        (file,) = question["change"]["files"]
        assert file["note"] == "" or not file["diff"]
        return str(file["note"])

    assert "holds the text 2 times" in note("files.edit", path="a.txt", old="x\n", new="y\n")
    assert "does not hold the text" in note("files.edit", path="a.txt", old="z", new="y")
    assert "does not exist" in note("files.edit", path="b.txt", old="z", new="y")
    assert "Nothing would change" in note("files.write", path="a.txt", content="x\nx\n")
    assert "is no text" in note("files.write", path="binary", content="text")
    assert "does not apply: line 1" in note("files.patch", diff="--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-no\n+yes\n")
    assert "no unified diff" in note("files.patch", diff="nothing")
    # The host looks for a hunk no longer where its place is far outside, or where the patch makes the file long.
    start = "--- a/a.txt\n+++ b/a.txt\n@@ -"
    assert "does not apply: line 2" in note("files.patch", diff=f"{start}999999999 +1 @@\n-no\n+yes\n")
    assert "should look like" in note("files.patch", diff=f"{start}{'9' * 5000} +1 @@\n-no\n+yes\n")
    longer = f"{start}1,0 +1 @@\n{chr(10).join(['+x'] * 30_000)}\n@@ -1 +1 @@\n{chr(10).join(['-x'] * 15_000)}\n-no\n"
    assert "too long to be compared" in note("files.patch", diff=longer)
    # A patch names its files in its text, where the host checks no argument: nothing is read outside the folders.
    out = note("files.patch", diff="--- a/out\n+++ b/out\n@@ -1 +1 @@\n-a\n+b\n")
    assert "leads out of the folder" in out
    hidden = note("files.patch", diff="--- a/.git/config\n+++ b/.git/config\n@@ -1 +1 @@\n-a\n+b\n")
    assert "protected" in hidden
    do(ada, here, "files.write", path="b.txt", content="a" * 40_000)
    swollen = note("files.edit", path="b.txt", old="a", new="b" * 60_000, every=True)
    assert "would become too large" in swollen  # two gibibytes: the host does not try
    many = "".join(f"--- /dev/null\n+++ b/{number}\n@@ -0,0 +1 @@\n+x\n" for number in range(25))
    named = ask(ada, here, "files.patch", diff=many)["change"]
    assert (len(named["files"]), named["more"], named["files"][19]["did"]) == (20, 5, "made")
    (long,) = ask(ada, here, "files.write", path="long.txt", content="short\n")["change"]["files"]
    assert (len(long["diff"]), long["more"]) == (400, 2602)


def test_how_much_a_call_could_do_follows_from_the_policy(ada: Person) -> None:
    here = ada.conversation()
    written = ask(ada, here, "files.write", path="a.txt", content="x")
    assert written["risk"] == {"level": "medium", "reasons": ["writes_workspace"]}
    script = ask(ada, here, "shell.run", script="true")
    assert script["risk"]["reasons"][0] == "runs_code"
    assert (written["explanation"], script["change"]) == ("", None)


def test_a_changed_call_is_a_new_one_and_the_question_is_refused(ada: Person, bob: Person) -> None:
    here = ada.conversation()
    question = ask(ada, here, "files.write", path="a.txt", content="theirs")
    kept = {"path": "a.txt", "content": "mine"}
    wrong = answer(ada, question, "modify", arguments={"path": "a.txt"})
    assert (wrong.status, wrong.code) == (422, "invalid_arguments")
    assert answer(bob, question, "modify", arguments=kept).code == "approval_not_found"
    _, program = make(ada, "chat", "tools:run")
    assert answer(program, question, "modify", arguments=kept).status == 403
    changed = answer(ada, question, "modify", arguments=kept)
    assert (changed.status, changed.json["status"]) == (202, "approval_required")
    assert changed.json["call_id"] != question["call_id"]
    before = ada.get(f"/api/calls/{question['call_id']}").json
    assert before["status"] == "refused"
    assert changed.json["call_id"] in before["error"]["message"]
    assert answer(ada, question).code == "approval_answered"
    assert answer(ada, question, "modify", arguments=kept).code == "approval_answered"
    (anew,) = [one for one in ada.get("/api/approvals").json["approvals"] if one["call_id"] == changed.json["call_id"]]
    assert anew["change"]["files"][0]["diff"][1] == "+mine"
    assert answer(ada, anew).json["status"] == "ok"
    assert content(ada, here, "a.txt") == "mine"
    # In the conversation both calls are seen.
    thread = ada.get(f"/c/{here}").text
    assert question["call_id"] in thread
    assert anew["call_id"] in thread


def test_a_changed_call_is_judged_and_can_be_denied_or_allowed(ada: Person) -> None:
    here = ada.conversation()
    question = ask(ada, here, "files.write", path="a.txt", content="x")
    denied = answer(ada, question, "modify", arguments={"path": "/etc/passwd", "content": "x"})
    assert (denied.status, denied.json["status"]) == (200, "denied")
    alone = ada.call("shell.run", script="echo asked").json  # in no conversation
    changed = ada.post(
        f"/api/approvals/{alone['approval_id']}", {"decision": "modify", "arguments": {"script": "echo changed"}}
    ).json
    assert changed["status"] == "approval_required"
    done = ada.post(f"/api/approvals/{changed['approval_id']}", {"decision": "approve"}).json
    assert done["stdout"] == "changed\n"
