"""A deny is not avoided by another spelling."""

import pytest

from toolhost.policy.compile import compile_template
from toolhost.policy.deny import denies_arguments, denies_program


def denies(template: str, line: str) -> bool:
    words = line.split()
    compiled = compile_template(template, deny=True)
    return denies_program(compiled, frozenset({words[0]})) and denies_arguments(compiled, words[1:])


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("dd", "dd"),
        ("dd", "dd if=a of=b"),
        ("dd ...", "dd if=a"),
        ("mkfs*", "mkfs.ext4 /dev/sda"),
        ("mkfs*", "mkfs"),
        ("git push ...", "git push"),
        ("git [-n {text}] -v {ref} {text}", "git -n a -vmain a"),
        ("git push ...", "git push origin main"),
        ("git push ...", "git push --force"),
        ("git ... push ...", "git -C x push y"),
        ("git push ...", "git --no-pager push origin"),
        ("git push ...", "git -C x -c a=b --bare push"),
        ("git push origin", "git -C push push origin"),
        ("git ... --force ...", "git push --force origin"),
        ("git ... --force ...", "git push origin --force"),
        ("git ... --force ...", "git push origin -- --force"),
        ("git ... --force ...", "git push --forc"),
        ("git ... --force ...", "git push --force=yes"),
        ("git ... -f|--force ...", "git push -f"),
        ("rm ... -r ...", "rm -rf /"),
        ("rm ... -r ...", "rm -fr /"),
        ("rm ... -r ... -f ...", "rm -r -f /"),
        ("rm ... -r ... -f ...", "rm -- / -rf"),
        ("git ... -c {text} ...", "git -c core.pager=x log"),
        ("git ... -c {text} ...", "git -ccore.pager=x log"),
        ("git ... --output {text} ...", "git log --output=x"),
        ("git ... --output {text} ...", "git log --output x"),
        ("git ... --output {text} ...", "git log --out x"),
        ("git push --force origin", "git push origin --force --force"),
        ("git push origin", "git push -- origin"),
        ("git push {ref}", "git push main"),
        ("git push {text...}", "git push a b -x"),
        ("git push [--tags] [origin]", "git push origin --tags"),
        ("git push [--tags] [origin]", "git push"),
        ("git [-q] [push] [a b] ... c", "git a b x c"),
        ("git [push a] b", "git push a b"),
        ("git [push a] b", "git -C x b"),
        (f"git {'[{text}] ' * 40}x", f"git {'a ' * 30}x"),
        ("find ... -delete ...", "find . -delete"),
        ("find ... -exec ...", "find . -exec rm {} ;"),
        ("find ... -maxdepth {int:5..9} ...", "find . -maxdepth 7"),
    ],
)
def test_it_denies(template: str, line: str) -> None:
    assert denies(template, line)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("dd", "ddrescue a"),
        ("mkfs*", "xmkfs"),
        ("git push ...", "git log push"),
        ("git push ...", "git pull"),
        ("git push ...", "git -C x log push"),
        ("git [push a] b", "git push b"),
        (f"git {'[{text}] ' * 40}x", f"git {'a ' * 30}y"),
        ("git ... --force ...", "git push origin force"),
        ("git ... --force ...", "git push --follow-tags"),
        ("git push origin", "git push origin main"),
        ("git push {ref}", "git push a:b"),
        ("rm ... -r ...", "rm --recursive x"),
        ("find ... -maxdepth {int:5..9} ...", "find . -maxdepth 1"),
        ("find ... -maxdepth {int:5..9} ...", "find . -maxdepth"),
        ("find ... -delete ...", "find . -d"),
        ("tool --color=always", "tool --color=never"),
    ],
)
def test_it_does_not_deny_what_it_does_not_say(template: str, line: str) -> None:
    assert not denies(template, line)
