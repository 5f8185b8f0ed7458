"""examples.py PAGE ...: executes the EXAMPLES of manual pages, compares what they print with what the page says.

Prints one TAP line a command. Within `.Bd -literal` of the section EXAMPLES, `$ COMMAND` (which goes on after a trailing
backslash or within quotes) is followed by its standard output. The commands of a page run in order, in the current folder.
"""
import re
import shlex
import subprocess
import sys

ESCAPES = {r'\e': '\\', r'\-': '-', r'\&': '', r'\(aq': "'", r'\(dq': '"', r'\(ti': '~', r'\(ha': '^', r'\(ga': '`', r'\(rs': '\\'}


def plain(line):
    return re.sub(r'\\\(..|\\.', lambda m: ESCAPES.get(m.group(), m.group()), line)


def goes_on(command):
    try:
        shlex.split(command)
    except ValueError:  # an open quote, or a backslash at the end
        return True
    return False


def examples(text):
    """Pairs of command and expected output."""
    section = re.search(r'^\.Sh EXAMPLES\n(.*?)(?=^\.Sh |\Z)', text, re.M | re.S)
    pairs = []
    for block in re.findall(r'^\.Bd -literal.*?\n(.*?)^\.Ed', section.group(1) if section else '', re.M | re.S):
        command = False
        for line in map(plain, block.splitlines()):
            if line.startswith('$ '):
                pairs.append([line[2:], ''])
                command = goes_on(pairs[-1][0])
            elif command:
                pairs[-1][0] += '\n' + line
                command = goes_on(pairs[-1][0])
            elif pairs:
                pairs[-1][1] += line + '\n'
    return pairs


n = failed = 0
for page in sys.argv[1:]:
    pairs = examples(open(page, encoding='utf-8').read())
    for command, want in pairs:
        run = subprocess.run(['bash', '-c', command], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        got = run.stdout.decode('utf-8', 'replace')
        good = got == want and run.returncode in (0, 3)
        n += 1
        failed += not good
        print(f'{"" if good else "not "}ok {n} - {page.rsplit("/", 1)[-1]}: {command.splitlines()[0]}')
        if not good:
            print(f'# exit status {run.returncode}\n# want: {want!r}\n# got:  {got[:2000]!r}\n# says: {run.stderr.decode()[:600]!r}')
print(f'1..{n}')
sys.exit(failed > 0 or n == 0)
