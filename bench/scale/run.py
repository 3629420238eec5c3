#!/usr/bin/env python3
"""Time, memory and watches of a release of 1, 20 and 100 Deployments: `cargo xtask deploy` and `deploy --set` beside `helm upgrade --wait`.

One release has all Deployments in one chart; a set has a service for each. Every Deployment has one pod, which an upgrade replaces. All
take turns in one lab of three nodes, each in a namespace of its own. What is measured is an upgrade: everything was there before.
Prints the rows of a Markdown table. Needs what a lab needs: Linux and root.

    python3 bench/scale/run.py
    python3 bench/scale/run.py --sizes 1,20
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lab import Lab, run, say  # noqa: E402

CHART = "apiVersion: v2\nname: scale\nversion: 0.1.0\n"

# `names` are the Deployments; a service of a set has only the one that is called as it is.
TEMPLATES = """{{- range $name := .Values.single | ternary (list .Release.Name) .Values.names }}
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ $name }}, labels: { environment: bench } }
spec:
  replicas: 1
  selector: { matchLabels: { app: {{ $name }} } }
  strategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } }
  template:
    metadata: { labels: { app: {{ $name }}, environment: bench } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: {{ $.Values.image }}
          env:
            - { name: FAULT, value: "slow:0ms" }
            - { name: STAMP, value: {{ $.Values.stamp | quote }} }
            - { name: DRAIN_SETTLE_SECONDS, value: "0" }
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1 }
          resources: { requests: { cpu: 1m, memory: 8Mi }, limits: { memory: 64Mi } }
{{- end }}
"""

# Nothing waits for anything but pods: what is measured is the program.
BUDGETS = {"soak": "1s", "watch": "20m", "lock": "5m"}

WATCH = re.compile(r'apiserver_longrunning_requests\{[^}]*scope="namespace"[^}]*verb="WATCH"[^}]*\} (\S+)')


def watches(lab):
    """How many watches of single namespaces there are. The cluster's own parts have a few, always the same."""
    return sum(int(float(now)) for now in WATCH.findall(lab.kube("get", "--raw", "/metrics")))


class Peak(threading.Thread):
    """The largest memory of a process, and how many watches of single namespaces the API server had at most at a time."""

    def __init__(self, lab, process, before):
        super().__init__()
        self.lab, self.process, self.memory, self.watches, self.over = lab, process, 0, 0, False
        self.before = before

    def run(self):
        rounds = 0
        while not self.over:
            try:
                status = Path(f"/proc/{self.process.pid}/status").read_text()
                self.memory = max([self.memory, *(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+) kB", status))])
            except OSError:
                pass
            if rounds % 5 == 0:
                self.watches = max(self.watches, watches(self.lab) - self.before)
            rounds += 1
            time.sleep(0.1)


def measured(lab, command):
    before = watches(lab)
    begun = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=lab.env)
    peak = Peak(lab, process, before)
    peak.start()
    said, _ = process.communicate()
    seconds = time.monotonic() - begun
    peak.over = True
    peak.join()
    if process.returncode != 0:
        sys.exit(f"{command}: exit {process.returncode}\n{said}")
    return seconds, peak.memory / 1024, peak.watches


def values(folder, lab, names, single, stamp):
    content = {"names": names, "single": single, "image": lab.image, "stamp": stamp}
    (folder / "chart/values.bench.yaml").write_text(json.dumps(content))


def repository(folder, lab, namespace, names, single):
    (folder / "chart/templates").mkdir(parents=True)
    (folder / "chart/Chart.yaml").write_text(CHART)
    (folder / "chart/values.yaml").write_text("{}")
    (folder / "chart/templates/all.yaml").write_text(TEMPLATES)
    service = {"path": ".", "language": "other", "chart": "chart"}
    config = {
        "version": 1,
        "project": "bench",
        "services": {name: service for name in (names if single else ["scale"])},
        "environments": {"bench": {"namespace": namespace, "values": "values.bench.yaml", "kubeconfig": lab.kubeconfig, "budgets": BUDGETS}},
    }
    (folder / "pipeline.yaml").write_text(json.dumps(config))


def deploy(folder, lab, namespace):
    return [lab.ship, "deploy", "--env", "bench", "--root", folder]


def deploy_set(folder, lab, namespace):
    return [*deploy(folder, lab, namespace), "--set"]


def helm(folder, lab, namespace):
    chart = folder / "chart"
    return [lab.helm, "upgrade", "--install", "scale", chart, "-n", namespace, "--values", chart / "values.bench.yaml", "--wait", "--timeout", "20m"]


WAYS = {"helm upgrade --wait": (helm, False), "deploy": (deploy, False), "deploy --set": (deploy_set, True)}


def measure(lab, way, size):
    command, single = WAYS[way]
    namespace = f"n{size}-{way.split()[0]}{'-set' if single else ''}"
    names = [f"d{number:03}" for number in range(size)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lab.namespace(namespace)
        repository(folder, lab, namespace, names, single)
        values(folder, lab, names, single, "first")
        run(command(folder, lab, namespace), env=lab.env)
        values(folder, lab, names, single, "second")
        result = measured(lab, command(folder, lab, namespace))
    stamps = lab.kube("get", "pods", "-n", namespace, "--field-selector", "status.phase=Running", "-o", "jsonpath={.items[*].spec.containers[0].env[1].value}")
    if stamps.split().count("second") != size:
        sys.exit(f"{namespace}: not all pods are new: {stamps}")
    lab.kube("delete", "namespace", namespace)
    say(f"{size}: {way}: {result[0]:.1f} s, {result[1]:.1f} MiB, {result[2]} watches")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="1,20,100", help="how many Deployments [default: %(default)s]")
    parser.add_argument("--largest-set", type=int, default=100, help="sets of more services are left out [default: %(default)s]")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("this needs root")
    sizes = [int(size) for size in args.sizes.split(",")]
    lab = Lab("bench-scale", nodes=3)
    rows = []
    try:
        for size in sizes:
            floor = None
            for way in WAYS:
                if WAYS[way][1] and size > args.largest_set:
                    continue
                seconds, memory, watches = measure(lab, way, size)
                floor = floor or seconds
                rows.append(f"| {size} | `{way}` | {seconds:.1f} s | {seconds / floor:.2f} × | {memory:.1f} MiB | {watches} |")
    finally:
        lab.down()
    print("| Deployments | | time | ratio | largest memory | watches |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
