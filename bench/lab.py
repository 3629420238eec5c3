"""What measurements in a lab share: the binary and the service as one file, a lab with the service's image, and questions to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(argv, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build():
    """The full binary, and the service with faults as one static file, as an image is made of it."""
    say("building")
    built = run(["cargo", "build", "--locked", "--package", "xtask-ship", "--message-format", "json"], cwd=ROOT)
    artifacts = (json.loads(line) for line in built.splitlines() if line.startswith("{"))
    ship = [item["executable"] for item in artifacts if item.get("executable") and item["target"]["name"] == "xtask-ship"][-1]
    folder = ROOT / "target/bench-service"
    env = {**os.environ, "RUSTFLAGS": "-C target-feature=+crt-static", "CARGO_TARGET_DIR": str(folder)}
    run(["cargo", "build", "--locked", "--release", "--package", "app", "--features", "faults", "--target", TARGET], cwd=ROOT, env=env)
    return ship, folder / TARGET / "release/app"


class Lab:
    def __init__(self, name, nodes=1):
        self.name = name
        self.ship, service = build()
        say("bringing a lab up")
        run([self.ship, "lab", "up", "--name", name, "--nodes", nodes])
        self.image = run([self.ship, "lab", "load", service, "hello:good", "--name", name]).strip()
        status = next(lab for lab in json.loads(run([self.ship, "lab", "status", "--json"])) if lab["name"] == name)
        self.kubeconfig = status["kubeconfig"]
        self.node = next(machine["pid"] for machine in status["machines"] if machine["name"] == "n1")
        line = next(line for line in run([self.ship, "tools", "sync", "helm"], cwd=ROOT).splitlines() if line.startswith("helm "))
        self.helm = line.split("  ")[1]
        self.env = {**os.environ, "KUBECONFIG": self.kubeconfig}
        self.kubectl = next(Path(self.kubeconfig).parent.parent.glob("build/*/bin/kubectl"))

    def kube(self, *args):
        return run([self.kubectl, *args], env=self.env)

    def down(self):
        run([self.ship, "lab", "down", "--name", self.name])

    def namespace(self, name):
        self.kube("create", "namespace", name)
        self.kube("label", "namespace", name, "environment=bench")
