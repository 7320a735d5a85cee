"""Run a command as if the processor had AVX2 but neither AVX-512 nor VNNI: the kernels of older processors, at this one's clock.

    gdb -nx -batch -x without_vnni.py --args python evaluate.py VAL.tsv:en

To be read by gdb (Debian: gdb, binutils). ONNX Runtime chooses its kernels by what CPUID says when it is loaded; this stops at each
CPUID instruction of its library and takes those features out of the answers (leaf 7; Intel's Software Developer's Manual, volume 2). After
that nothing stops any more, so that the command runs at full speed.
"""

import subprocess

import gdb

LIBRARY = "onnxruntime"
bit = lambda *places: sum(1 << place for place in places)
# By (leaf, subleaf) and register: the bits of AVX-512, AVX-VNNI, AMX and what depends on them.
HIDDEN = {
    (7, 0): {"ebx": bit(16, 17, 21, 26, 27, 28, 30, 31), "ecx": bit(1, 6, 11, 12, 14), "edx": bit(2, 3, 8, 22, 23, 24, 25)},
    (7, 1): {"eax": bit(4, 5, 21, 23), "edx": bit(4, 5, 8, 10, 19)},
}
asked: dict[int, tuple[int, int]] = {}
known: set[str] = set()
answered = []


def register(name: str) -> int:
    return int(gdb.parse_and_eval(f"${name}")) & 0xFFFFFFFF


class Question(gdb.Breakpoint):
    """At a CPUID instruction: remembers what is asked."""

    def stop(self) -> bool:
        asked[gdb.selected_thread().num] = (register("eax"), register("ecx"))
        return False


class Answer(gdb.Breakpoint):
    """After it: takes the features out."""

    def stop(self) -> bool:
        leaf = asked.pop(gdb.selected_thread().num, None)
        if leaf in HIDDEN:
            answered.append(leaf)
        for name, mask in HIDDEN.get(leaf, {}).items():
            gdb.execute(f"set ${'r' + name[1:]} = {register(name) & ~mask}")
        return False


def loaded(event: gdb.NewObjFileEvent) -> None:
    path = event.new_objfile.filename
    if LIBRARY not in path.rsplit("/", 1)[-1] or path in known:
        return
    known.add(path)
    with open(f"/proc/{gdb.selected_inferior().pid}/maps", encoding="utf-8") as maps:
        base = next(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(path))
    code = subprocess.run(["objdump", "-d", path], capture_output=True, text=True, check=True).stdout
    places = [int(line.split(":")[0], 16) for line in code.splitlines() if line.endswith("cpuid")]
    for place in places:
        Question(f"*{base + place}", internal=True)
        Answer(f"*{base + place + 2}", internal=True)
    print(f"{path}: {len(places)} questions to the processor are answered without AVX-512 and VNNI", flush=True)


gdb.execute("set pagination off")
gdb.execute("set print thread-events off")
gdb.execute("set print inferior-events off")
gdb.execute("set debuginfod enabled off")
gdb.events.new_objfile.connect(loaded)
gdb.execute("run")
if not answered:
    print("no question for these features was seen: the figures are of this processor as it is", flush=True)
    gdb.execute("quit 1")
code = gdb.parse_and_eval("$_exitcode")
gdb.execute(f"quit {1 if code.type.code == gdb.TYPE_CODE_VOID else int(code)}")  # void: ended by a signal
