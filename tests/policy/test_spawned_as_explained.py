"""What `explain` prints and what a real sandbox spawns are the same, token for token, for any rule and any command."""

from pathlib import Path

from hosted import Hosted
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_policy_properties import matching

# The program prints the whole argument vector that the kernel started it with.
PRINTER = "import sys;sys.stdout.write(ascii(open('/proc/self/cmdline','rb').read().decode().split(chr(0))[:-1]))"
PAIRS = st.lists(matching(), min_size=10, max_size=10)


def test_what_is_explained_is_what_is_spawned(space: Path) -> None:
    host = Hosted(space, probe="")

    # A failure is not made smaller: each attempt would be ten sandboxes more.
    @settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(PAIRS)
    def same(pairs: list[tuple[str, list[str]]]) -> None:
        rules = [f"python3 -c {{text}} rule{at} {text.partition(' ')[2]}" for at, (text, _) in enumerate(pairs)]
        listed = "".join(f"'''{rule}''',\n" for rule in rules)
        host.write(
            "probe", f'runs_code = ["python3"]\n[commands]\nallow = [\n{listed}]\n[paths]\nwrite = ["{{workspace}}"]\n'
        )
        assert host.ask(do="reload")["problems"] == []
        for at, (_, command) in enumerate(pairs):
            words = ["-c", PRINTER, f"rule{at}", *command]
            said, done = host.explain("python3", *words), host.run("python3", *words)
            assert said["decision"]["outcome"] == "allow", (rules[at], command, said)
            assert done["stdout"] == ascii(said["argv"]), (rules[at], command, done)

    try:
        same()
    finally:
        host.close()
