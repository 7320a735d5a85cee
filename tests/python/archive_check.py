"""Runs the whole pipeline on the Reddit archives, crashes it if asked to, and compares it with an independent count.

    python archive_check.py DIR [--crash] [--rate POSTS] [--binary target/release/vigie]

DIR holds reddit_*.tar.gz. With --crash the process is killed once (SIGKILL) and stopped once (SIGTERM) on the way, and
started again over the same data. It needs what `vigie up` needs, VIGIE_KAFKA_JARS and ORT_DYLIB_PATH as ./dev sets
them. Prints one JSON object: posts, seconds, memory of the process and of each server. Exit code 0: everything
agrees, 1: not.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


class Up:
    """A running `vigie up`, and where its servers are."""

    def __init__(self, options, data_dir):
        self.log = (data_dir.parent / "up.log").open("a")
        command = [options.binary, "--json", "up", "--sample", "--archive", options.archive]
        command += ["--data-dir", data_dir, "--api-listen", "127.0.0.1:0", "--archive-rate", str(options.rate)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"archive_check: vigie up ended with {self.process.wait()}, see {self.log.name}")
        self.at = json.loads(line)

    def posts(self):
        query = "SELECT count(*) FROM posts WHERE run_id = 'live'"
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", query]
        answer = subprocess.run([*command, self.at["postgres_url"]], capture_output=True, text=True, check=False)
        return int(answer.stdout) if answer.returncode == 0 else 0

    def wait_for(self, posts, patience):
        """Waits until so many posts are stored; gives up once none has come for `patience` seconds."""
        stored, since = -1, time.monotonic()
        while stored < posts:
            if self.process.poll() is not None:
                sys.exit(f"archive_check: vigie up ended with {self.process.returncode}, see {self.log.name}")
            now = self.posts()
            if now != stored:
                print(f"archive_check: {now} of {posts} posts stored", file=sys.stderr)
                stored, since = now, time.monotonic()
            if time.monotonic() - since > patience:
                sys.exit(f"archive_check: {stored} of {posts} posts are stored, and none more in {patience} s")
            time.sleep(1)

    def memory(self):
        """Resident MiB of the process and of those that it started, by program."""
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss=,comm="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 3) for line in table.stdout.splitlines()]
        family = {self.process.pid}
        for _ in rows:
            more = {int(pid) for pid, parent, _, _ in rows if int(parent) in family} - family
            if not more:
                break
            family |= more
        used = {}
        for pid, _, kib, program in rows:
            if int(pid) in family:
                used[program] = used.get(program, 0) + int(kib) / 1024
        return {program: round(mib) for program, mib in sorted(used.items())}

    def end(self, how):
        started = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait()
        return code, round(time.monotonic() - started, 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, metavar="DIR")
    parser.add_argument("--crash", action="store_true", help="kill and stop the pipeline on the way")
    parser.add_argument("--binary", type=Path, default=HERE.parents[1] / "target/release/vigie")
    parser.add_argument("--patience", type=float, default=120, help="seconds without a new post after which to give up")
    parser.add_argument("--rate", type=float, default=1000, help="archived posts released per second")
    return parser.parse_args()


def main():
    options = arguments()
    counted = subprocess.run(
        [sys.executable, HERE / "archive_count.py", options.archive], stdout=subprocess.PIPE, check=True
    )
    folder = Path(tempfile.mkdtemp(prefix="vigie-archive-"))
    # PostgreSQL of root runs as another user, who must reach its data.
    folder.chmod(0o755)
    (folder / "counts.json").write_bytes(counted.stdout)
    total = json.loads(counted.stdout)["assets"]["*"]["posts"]
    started = time.monotonic()
    up = Up(options, folder / "data")
    if options.crash:
        up.wait_for(total // 4, options.patience)
        up.end(signal.SIGKILL)
        up = Up(options, folder / "data")
        up.wait_for(total // 2, options.patience)
        code, drain = up.end(signal.SIGTERM)
        print(f"archive_check: SIGTERM: exit code {code} after {drain} s", file=sys.stderr)
        if code != 0 or drain > 15:
            sys.exit(f"archive_check: SIGTERM: exit code {code} after {drain} s, expected 0 within 15 s")
        up = Up(options, folder / "data")
    up.wait_for(total, options.patience)
    seconds = time.monotonic() - started
    # The last windows are a commit behind the last post: look again until they are there, for a while.
    compare = [sys.executable, HERE / "archive_compare.py", folder / "counts.json"]
    compare += ["--postgres-url", up.at["postgres_url"], "--api", up.at["dashboard"], "--run", "live"]
    compare += ["--brokers", up.at["kafka_brokers"], "--registry", up.at["schema_registry_url"]]
    for _ in range(6):
        result = subprocess.run(compare, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            break
        time.sleep(5)
    print(result.stdout + result.stderr, end="", file=sys.stderr)
    report = {"posts": total, "seconds": round(seconds, 1), "memory_mib": up.memory(), "agree": result.returncode == 0}
    up.end(signal.SIGTERM)
    print(json.dumps(report))
    if result.returncode == 0:
        shutil.rmtree(folder)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
