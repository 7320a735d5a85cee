"""The p99 of a client that behaves, alone and beside one that does not; and what credentials, budgets and TLS cost.

    python attack.py --ours "target/release/vigie api" --attack target/release/examples/attack --load target/release/examples/load
        (--stack JSON | --postgres-url URL --redis-url URL) [--fill ASSETS,DAYS] [--rounds 3] [--seconds 10] [--only ATTACK]

Everything is as it is by default: limits, caps, budgets. The attacker has another address (127.0.0.2, so this is for Linux) and, where there
are two cores, the last one to itself; the API and the client have the others. So its own work is not the server's, as on a machine of its own;
what the kernel does on loopback is done in part by whoever sends. PostgreSQL and Redis are not pinned. 50 live events a second come all the
time. The client is measured alone before and after each attack, and all of it in one run; only ratios of one run say something. Prints JSON,
one line for each measurement, and tables.
"""

import argparse
import asyncio
import json
import os
import pathlib
import resource
import shlex
import statistics
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

from api import QUESTIONS, fill, free_port

ATTACKS = ("slowloris", "rapid-reset", "idle", "expensive", "streams")
SECRET = "0123456789abcdef0123456789abcdef"


CORES = sorted(os.sched_getaffinity(0))
OURS, THEIRS = CORES[:-1] or CORES, CORES[-1:]


def only_on(cores: list[int]) -> dict:
    return {"preexec_fn": lambda: os.sched_setaffinity(0, cores)}


def feed(redis_url: str, stop: threading.Event) -> None:
    """Live events, as the sink writes them."""
    where = urllib.parse.urlsplit(redis_url)
    data = json.dumps({"post_id": "bench:1", "run_id": "live", "title": "a post " * 20, "assets": [{"asset": "BTC"}]})
    words = ["XADD", "vigie:stream", "MAXLEN", "~", "10000", "*", "type", "post", "data", data]
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection((where.hostname, where.port)) as redis:
        while not stop.wait(1 / 50):
            redis.sendall(command.encode())
            redis.recv(4096)


def syns_dropped() -> int:
    """Connections that found the queue of whoever was to accept them full, of all programs."""
    names, values = [line.split() for line in pathlib.Path("/proc/net/netstat").read_text(encoding="utf-8").splitlines()[:2]]
    return int(values[names.index("ListenDrops")])


class Server:
    """vigie's API, up while the ``with`` block runs."""

    def __init__(self, args: argparse.Namespace, *options: str, certificate: tuple[str, str] | None = None, header: str | None = None,
                 cores: list[int] = CORES):
        self.args, self.cores = args, cores
        self.client_options = [*([f"--ca={certificate[0]}"] if certificate else []), *([f"--header={header}"] if header else [])]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{(port := free_port())}"
        self.command = [*shlex.split(args.ours), f"--api-listen=127.0.0.1:{port}", f"--postgres-url={args.postgres_url}",
                        f"--redis-url={args.redis_url}", *options]
        if certificate:
            self.command += [f"--api-tls-cert-file={certificate[0]}", f"--api-tls-key-file={certificate[1]}"]

    def __enter__(self) -> "Server":
        self.log = tempfile.TemporaryFile("w+")
        env = os.environ | {"VIGIE_OPS_LISTEN": "127.0.0.1:0"}
        self.process = subprocess.Popen(self.command, env=env, stderr=self.log, stdout=self.log, **only_on(self.cores))
        for _ in range(600):
            if self.process.poll() is None and self.client(1)["answered"]:
                return self
            time.sleep(0.1)
        self.log.seek(0)
        raise SystemExit(f"{self.command} does not answer: {self.log.read()}")

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def attack_command(self, kind: str, seconds: float, address: str) -> list[str]:
        return [self.args.attack, kind, self.url, f"--seconds={seconds}", f"--from={address}", *self.client_options]

    def client(self, seconds: float) -> dict:
        command = self.attack_command("legitimate", seconds, "127.0.0.1")
        return json.loads(subprocess.run(command, check=True, capture_output=True, **only_on(self.cores)).stdout)

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def attacked(self, kind: str) -> tuple[dict, dict]:
        """The client beside the attacker, which begins a third of the time earlier."""
        seconds = self.args.seconds
        command = ["nice", "-n", "19", *self.attack_command(kind, seconds * 5 / 3, "127.0.0.2")]
        attacker = subprocess.Popen(command, stdout=subprocess.PIPE, **only_on(THEIRS))
        time.sleep(seconds / 3)
        before, dropped = self.cpu_seconds(), syns_dropped()
        measured = self.client(seconds)
        measured |= {"cores": (self.cpu_seconds() - before) / seconds, "syns_dropped": syns_dropped() - dropped}
        return measured, json.loads(attacker.communicate()[0])

    def load(self, path: str) -> dict:
        command = [self.args.load, self.url + path, f"--seconds={self.args.seconds}", "--connections=16", *self.client_options]
        before = self.cpu_seconds()
        measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return measured | {"cpu_ms": (self.cpu_seconds() - before) * 1000 / max(measured["requests"], 1)}


def p99(measured: dict) -> float:
    return float("inf") if measured["p99_ms"] is None else measured["p99_ms"]


def certificate(folder: str) -> tuple[str, str]:
    files = f"{folder}/cert.pem", f"{folder}/key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
               "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def attacks(args: argparse.Namespace, note) -> None:
    ratios: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for kind in args.only:
                encrypted = certificate(folder) if kind == "rapid-reset" else None
                with Server(args, certificate=encrypted, cores=OURS) as server:
                    server.client(args.seconds / 2)
                    before = server.client(args.seconds)
                    beside, attacker = server.attacked(kind)
                    after = server.client(args.seconds)
                # Whatever else the machine does, it does in one of them, too.
                alone = (p99(before) + p99(after)) / 2
                ratios.setdefault(kind, []).append((p99(beside) / alone, alone, p99(beside), beside["cores"]))
                note({"attack": kind, "round": turn, "before": before, "beside": beside, "after": after, "attacker": attacker})
    print("| attack | p99 alone, ms | beside, ms | ratio | of the rounds | API's cores |\n|---|---:|---:|---:|---|---:|")
    for kind, rounds in ratios.items():
        ratio, alone, beside, cores = (statistics.median(column) for column in zip(*rounds, strict=True))
        every = ", ".join(f"{one[0]:.2f}" for one in rounds)
        print(f"| {kind} | {alone:.1f} | {beside:.1f} | {ratio:.2f} | {every} | {cores:.2f} |")


def cost(args: argparse.Namespace, note) -> None:
    """The server's processor time for a request, and requests a second, with nothing checked, with budgets, with tokens, and with both; the
    budgets are too large to be spent."""
    budgets, auth = ("--api-rate=1000000", "--api-burst=1000000"), ("--auth=jwt", f"--auth-secret={SECRET}")
    issue = [*args.token, auth[1], "--subject=bench", "--scopes=read:insights,read:posts"]
    header = "Authorization: Bearer " + json.loads(subprocess.run(issue, check=True, capture_output=True).stdout)["token"]
    free = "--api-rate=0"
    ways = {"neither": ([free], None), "budgets": (budgets, None), "tokens": ([free, *auth], header), "both": ([*budgets, *auth], header)}
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(args.rounds):
        for way, (options, header) in ways.items():
            with Server(args, *options, header=header) as server:
                for name, path in QUESTIONS.items():
                    measured = server.load(path)
                    if set(measured["statuses"]) != {"200"}:
                        raise SystemExit(f"{way}, {name}: {measured['statuses']}")
                    taken.setdefault((name, way), []).append((measured["cpu_ms"], measured["per_second"]))
                    note({"cost": way, "question": name, "round": turn} | measured)
    print("| question |" + "".join(f" {way} |" for way in ways) + "\n|---|" + "---:|" * len(ways))
    for name in QUESTIONS:
        middle = {way: [statistics.median(column) for column in zip(*taken[name, way], strict=True)] for way in ways}
        cells = (f" {cpu * 1000:.0f} µs ({cpu / middle['neither'][0]:.2f}), {rate:,.0f}/s |" for cpu, rate in middle.values())
        print(f"| {name} |" + "".join(cells))


def tls(args: argparse.Namespace, note) -> None:
    """Kept answers in clear and by TLS 1.3, in turns, on connections that are kept."""
    taken: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = {"in clear": None, "TLS": certificate(folder)}
        for turn in range(args.rounds):
            for way, files in sorted(ways.items(), reverse=turn % 2 == 1):
                with Server(args, "--api-rate=0", certificate=files) as server:
                    for name, path in QUESTIONS.items():
                        measured = server.load(path)
                        if set(measured["statuses"]) != {"200"}:
                            raise SystemExit(f"{way}, {name}: {measured['statuses']}")
                        taken.setdefault((name, way), []).append((measured["per_second"], measured["cpu_ms"], measured["p99_ms"], measured["bytes"]))
                        note({"tls": way, "question": name, "round": turn} | measured)
    print("| | bytes | in clear, a second | TLS, a second | ratio | API's processor time, µs each | p99, ms |\n|---|---:|---:|---:|---:|---:|---:|")
    for name in QUESTIONS:
        (clear, clear_cpu, clear_p99, size), (tls, tls_cpu, tls_p99, _) = (
            [statistics.median(column) for column in zip(*taken[name, way], strict=True)] for way in ways)
        (low, high), (tls_low, tls_high) = ((min(one[0] for one in taken[name, way]), max(one[0] for one in taken[name, way])) for way in ways)
        print(f"| {name} | {size:,.0f} | {clear:,.0f} ({low:,.0f} to {high:,.0f}) | {tls:,.0f} ({tls_low:,.0f} to {tls_high:,.0f}) | {tls / clear:.2f} "
              f"| {clear_cpu * 1000:.0f}, {tls_cpu * 1000:.0f} | {clear_p99:.2f}, {tls_p99:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--attack", required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--token", type=shlex.split, default=[], help="command that prints a token as JSON: `vigie token issue --json`")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--postgres-url")
    where.add_argument("--stack", type=json.loads, help="addresses as the example `hold` prints them")
    parser.add_argument("--redis-url", default="redis://127.0.0.1:1")
    parser.add_argument("--fill", metavar="ASSETS,DAYS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", action="append", choices=[*ATTACKS, "cost", "tls"])
    args = parser.parse_args()
    if args.stack:
        args.postgres_url, args.redis_url = args.stack["postgres_url"], args.stack["redis_url"]
    if args.fill:
        asyncio.run(fill(args.postgres_url, *map(int, args.fill.split(","))))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def note(measured: dict) -> None:
        print(json.dumps(measured), flush=True)

    wanted = args.only or [*ATTACKS, "cost"]
    args.only = [kind for kind in wanted if kind in ATTACKS]
    if args.only:
        stop = threading.Event()
        feeding = threading.Thread(target=feed, args=(args.redis_url, stop))
        feeding.start()
        try:
            attacks(args, note)
        finally:
            stop.set()
            feeding.join()
    if args.token and "cost" in wanted:
        cost(args, note)
    if "tls" in wanted:
        tls(args, note)


if __name__ == "__main__":
    main()
