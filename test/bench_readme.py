"""bench_readme.py README FILE...: puts what the benchmarks wrote into README, between the lines

    <!-- FILE: SECTION, as the benchmark wrote it -->
    <!-- end of FILE: SECTION -->

FILE: the name of one of the files, build/bench-*.txt; SECTION: what stands in it after "### ". What no file has stays as it is. A table of
some rows, or of fewer repetitions, is as good as any: look at what git diff says.
"""
import os
import re
import sys

BLOCK = re.compile(r"<!-- (\S+): (\w+), as the benchmark wrote it -->\n(.*?)<!-- end of \1: \2 -->", re.S)


def sections(path):
    """{"FILE: SECTION": its text}"""
    with open(path) as f:
        parts = re.split(r"^### (\w+)\n", f.read(), flags=re.M)
    return {f"{os.path.basename(path)}: {name}": text.strip() for name, text in zip(parts[1::2], parts[2::2])}


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    readme, found = sys.argv[1], {}
    for path in sys.argv[2:]:
        found.update(sections(path))

    def filled(block):
        name = f"{block[1]}: {block[2]}"
        if name not in found:
            print(f"{readme}: {name}: left as it is", file=sys.stderr)
            return block[0]
        return f"<!-- {name}, as the benchmark wrote it -->\n\n{found[name]}\n\n<!-- end of {name} -->"

    with open(readme) as f:
        text = BLOCK.sub(filled, f.read())
    with open(readme, "w") as f:
        f.write(text)


if __name__ == "__main__":
    main()
