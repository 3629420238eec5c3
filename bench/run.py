#!/usr/bin/env python3
"""Measures xtask against git, ninja and `true`, as ratios of commands that take turns in one run.

Every subcommand prints rows of the Markdown table that README.md has under "Speed"; `all` prints the whole table. Numbers
without a peer (seconds of a cold build) say little on another machine; ratios do. Only the standard library is used; `stages`
needs ninja, everything else git and cargo.

    python3 bench/run.py all
    python3 bench/run.py nothing-changed --files 2000
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Nothing of the user's own settings may decide what git does here.
GIT_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


class Run:
    """What one process cost: seconds of wall clock, the largest memory of it or a child in KiB, its exit code."""

    def __init__(self, argv, cwd):
        with open(os.devnull, "r+b") as null, tempfile.TemporaryFile() as errors:
            actions = [
                (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, null.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
            ]
            before = os.getcwd()
            os.chdir(cwd)
            try:
                begun = time.perf_counter()
                pid = os.posix_spawnp(argv[0], argv, {**os.environ, **GIT_ENV}, file_actions=actions)
                _, status, usage = os.wait4(pid, 0)
                self.seconds = time.perf_counter() - begun
            finally:
                os.chdir(before)
            self.peak_kib = usage.ru_maxrss
            code = os.waitstatus_to_exitcode(status)
            if code != 0:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip()
                sys.exit(f"{' '.join(map(str, argv))}: exit {code}\n{said}")


def in_turns(commands, rounds, prepare=lambda: None):
    """Runs each command once a round, so that whatever else the machine does hits all of them alike."""
    runs = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, (argv, cwd) in commands.items():
            prepare()
            run = Run(argv, cwd)
            # The first round fills caches of the system.
            if number > 0:
                runs[name].append(run)
    return {name: Summary(all_runs) for name, all_runs in runs.items()}


class Summary:
    """The median of several runs, and how far they lie apart."""

    def __init__(self, runs):
        self.seconds = statistics.median(run.seconds for run in runs)
        self.least = min(run.seconds for run in runs)
        self.most = max(run.seconds for run in runs)
        self.peak_mib = max(run.peak_kib for run in runs) / 1024

    def __str__(self):
        return f"{ms(self.seconds)} ({ms(self.least)} to {ms(self.most)})"


def ms(seconds):
    return f"{seconds * 1e3:.1f} ms"


def say(text):
    print(text, file=sys.stderr, flush=True)


def row(what, value, peer="", ratio="", goal=""):
    print(f"| {what} | {value} | {peer} | {ratio} | {goal} |", flush=True)


def cargo(*args, env=None, cwd=ROOT):
    done = subprocess.run(["cargo", *args], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"cargo {' '.join(args)}: exit {done.returncode}\n{done.stderr.strip()}")
    return done


def xtask(*profile):
    """The binary: a debug build is what `cargo xtask` runs, a release build what CI hands on."""
    say(f"building xtask {' '.join(profile)}")
    built = cargo("build", "--locked", "--package", "xtask", *profile, "--message-format", "json").stdout
    artifacts = (json.loads(line) for line in built.splitlines() if line.startswith("{"))
    executables = [item["executable"] for item in artifacts if item.get("executable") and item["target"]["name"] == "xtask"]
    return executables[-1]


def git(folder, *args):
    # Maintenance in the background would still be writing when the folder is removed, and would be measured too.
    quiet = ["-c", "gc.auto=0", "-c", "maintenance.auto=false"]
    subprocess.run(["git", *quiet, *args], cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **GIT_ENV})


def both():
    return {"debug": xtask(), "release": xtask("--release")}


def pipeline(services):
    """A pipeline.yaml whose checks all run `true`."""
    lines = ["version: 1", "project: bench", "services:"]
    for name, path in services:
        lines += [
            f"  {name}:",
            f"    path: {path}",
            "    language: other",
            "    checks: { lint: [[\"true\"]], test: [[\"true\"]] }",
        ]
    return "\n".join(lines) + "\n"


def repository(folder, files, services):
    """A git repository with so many small files, committed, and older than its index, so that git trusts their times."""
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(pipeline([(f"s{n}", f"s{n}") for n in range(services)]))
    (folder / ".gitignore").write_text("/target\n")
    hour_ago = time.time() - 3600
    for number in range(files):
        path = folder / f"s{number % services}" / f"d{number // services // 100}" / f"f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}\n" * 20)
        os.utime(path, (hour_ago, hour_ago))
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "--message", "bench")


# The secrets stage needs a tool that may not be there, and looks at the same files as the checks.
PR_CHECKS = ["pr-checks", "--output", "plain", "--without", "secrets"]


def nothing_changed(args):
    """A second run of all checks with nothing changed, against `git status` and `true`."""
    binaries = both()
    for files in args.files:
        with tempfile.TemporaryDirectory() as temporary:
            # The binary is part of every key, so that each has a repository of its own; the files are the same.
            folders = {kind: Path(temporary) / kind for kind in binaries}
            for kind, folder in folders.items():
                say(f"a repository with {files} files, {kind}")
                repository(folder, files, services=10)
                Run([binaries[kind], *PR_CHECKS], folder)
                check_all_cached(folder, 20)
            commands = {kind: ([binary, *PR_CHECKS], folders[kind]) for kind, binary in binaries.items()}
            folder = next(iter(folders.values()))
            commands |= {"git": (["git", "status", "--porcelain"], folder), "true": (["true"], folder)}
            found = in_turns(commands, args.rounds)
            for folder in folders.values():
                check_all_cached(folder, 20)
        status = found["git"]
        goal = "≤ 10 ms" if files <= 2000 else "≤ 1.5 ×"
        for kind in binaries:
            ours = found[kind]
            row(f"`pr-checks`, nothing changed, {files:,} files, {kind} build", ours, f"`git status` {status}", ratio(ours, status), goal)
            row(f"the same, largest memory, {files:,} files", f"{ours.peak_mib:.1f} MiB", f"`git status` {status.peak_mib:.1f} MiB", "", "≤ 40 MiB")
        row("a process that does nothing, for scale", "", f"`true` {found['true']}")


def check_all_cached(folder, stages):
    """Measuring a run that did not do what it should says nothing."""
    report = json.loads((folder / "target/xtask/report.json").read_text())
    passed = [stage for stage in report["stages"] if stage["outcome"] == "passed"]
    if len(passed) != stages:
        sys.exit(f"{len(passed)} of {stages} stages passed: {folder}/target/xtask/report.json")
    return sum(stage["cached"] for stage in passed)


def ratio(ours, peer):
    return f"{ours.seconds / peer.seconds:.2f} ×"


def stages(args):
    """Stages that each run `true`, with nothing in the cache, against ninja on the same graph."""
    if shutil.which("ninja") is None:
        sys.exit("ninja is missing: on Debian it is in ninja-build")
    binaries = both()
    services = args.stages // 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "repository"
        say(f"{2 * services} stages")
        repository(folder, services, services)
        edges = "".join(f"build out{number}: run\n" for number in range(2 * services))
        # No edge makes its output, so every run does all of them.
        (folder / "build.ninja").write_text(f"rule run\n  command = true\n{edges}")
        commands = {kind: ([binary, *PR_CHECKS], folder) for kind, binary in binaries.items()}
        commands["ninja"] = (["ninja", "--quiet"], folder)
        # Moved away and not removed: a file system that has just forgotten a thousand files is slow to make new ones.
        removed = iter(range(1_000_000))

        def empty_cache():
            if (folder / "target").exists():
                (folder / "target").rename(Path(temporary) / f"removed-{next(removed)}")

        found = in_turns(commands, args.rounds, empty_cache)
        for binary in binaries.values():
            empty_cache()
            Run([binary, *PR_CHECKS], folder)
            if check_all_cached(folder, 2 * services) != 0:
                sys.exit("stages came from a cache that should be empty")
    peer = found["ninja"]
    for kind in binaries:
        row(f"{2 * services} stages that run `true`, empty cache, {kind} build", found[kind], f"ninja {peer}", ratio(found[kind], peer), "≤ 2 ×")


def spawn(args):
    """What the guard adds to a bare spawn, by the example of xtask-core."""
    say("building and running spawn_cost (release)")
    said = cargo("run", "--quiet", "--locked", "--release", "--package", "xtask-core", "--example", "spawn_cost", "--", "300", str(args.rounds)).stdout
    for line in said.splitlines():
        words = line.split()
        # `300 children × 4   1.234   1.456   0.222`: how many at once, then milliseconds bare, guarded, added.
        if "×" in words:
            at_once, bare, guarded, added = words[words.index("×") + 1 :]
            value, peer = f"{float(guarded):.2f} ms", f"bare {float(bare):.2f} ms"
            row(f"one child under the guard, {at_once} at once", value, peer, f"+ {float(added):.2f} ms", "≤ + 1 ms")


def build(args):
    """The first `cargo build` with the crates downloaded, and how many crates that is."""
    cargo("fetch", "--locked")
    times = []
    for number in range(args.builds):
        with tempfile.TemporaryDirectory() as target:
            say(f"cold build {number + 1} of {args.builds}")
            begun = time.perf_counter()
            cargo("build", "--locked", "--offline", "--package", "xtask", env={"CARGO_TARGET_DIR": target})
            times.append(time.perf_counter() - begun)
    row("`cargo build -p xtask`, crates downloaded, nothing built", f"{statistics.median(times):.0f} s", "", "", "≤ 40 s")
    tree = cargo("tree", "--locked", "--offline", "--package", "xtask", "--edges", "normal,build", "--prefix", "none").stdout
    # The path in brackets is what only this workspace's own packages have.
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line and "(/" not in line}
    row("crates that this compiles", str(len(crates)), "", "", "≤ 120")
    for banned in ["aws-lc-sys", "openssl-sys", "native-tls"]:
        if any(name == banned for name, _ in crates):
            sys.exit(f"{banned} is in the tree: cargo tree -i {banned}")


def first(args):
    """The first `cargo xtask pr-checks` of a newcomer: this commit in a new clone, every cache empty, all tools built from registries."""
    # The tool chains themselves are there.
    homes = {"RUSTUP_HOME": ".rustup", "PYENV_ROOT": ".pyenv"}
    kept = {name: os.environ.get(name, str(Path.home() / home)) for name, home in homes.items()}
    bin_of_go = str(Path(subprocess.run(["go", "env", "GOPATH"], capture_output=True, text=True, check=True).stdout.strip()) / "bin")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "repo")], check=True)
        empty = {"HOME": "home", "XDG_CACHE_HOME": "cache", "CARGO_HOME": "cargo", "GOPATH": "go", "GOCACHE": "go-build", "GOMODCACHE": "go-mod", "PIP_CACHE_DIR": "pip"}
        env = {**os.environ, **kept, **{name: str(folder / place) for name, place in empty.items()}}
        for place in empty.values():
            (folder / place).mkdir()
        env["PATH"] = ":".join(entry for entry in env["PATH"].split(":") if entry != bin_of_go)
        begun = time.perf_counter()
        done = subprocess.run(["cargo", "xtask", "pr-checks"], cwd=folder / "repo", env=env, stdout=sys.stderr)
        took = time.perf_counter() - begun
        # Go makes its modules read-only.
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    if done.returncode != 0:
        sys.exit(f"pr-checks: exit {done.returncode}")
    row("the first `cargo xtask pr-checks`, empty caches, downloads included", f"{took:.0f} s", "", "", "≤ 480 s")


def heading():
    cores = len(os.sched_getaffinity(0))
    kernel = platform.release().split("-")[0]
    git_version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    print(f"Medians, with the least and the most, on {cores} cores, Linux {kernel}, git {git_version}.\n")
    print("| what | xtask | peer | ratio | goal |\n| --- | --- | --- | --- | --- |", flush=True)


def everything(args):
    heading()
    for measure in [nothing_changed, stages, spawn, build]:
        measure(args)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for name, function in {
        "all": everything,
        "nothing-changed": nothing_changed,
        "stages": stages,
        "spawn": spawn,
        "build": build,
        "first": first,
    }.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--rounds", type=int, default=15, help="how often each command is measured [15]")
        command.add_argument("--files", type=int, nargs="+", default=[2000, 50000], help="files of the repositories [2000 50000]")
        command.add_argument("--stages", type=int, default=300, help="how many stages run `true` [300]")
        command.add_argument("--builds", type=int, default=3, help="how many cold builds [3]")
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
