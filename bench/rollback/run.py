#!/usr/bin/env python3
"""From a bad deployment to the previous release verified: `cargo xtask deploy` beside `helm upgrade --rollback-on-failure`.

Both release the same small chart to the same lab, each into namespaces of its own, while a client asks the service twenty times a second
from inside a node. Prints rows of the Markdown table that README.md has under "Rollback". Needs what a lab needs: Linux and root.

    python3 bench/rollback/run.py
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from lab import Lab, run, say  # noqa: E402

# What is changed for the worse: values of the chart.
CASES = {
    "image missing": {"image": "{repository}:not-there"},
    "crash on start": {"fault": "crash:start"},
    "readiness never": {"fault": "never-ready"},
}

CHART = """apiVersion: v2
name: hello
version: 0.1.0
"""

TEMPLATES = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
  labels: { environment: {{ .Values.environment }} }
spec:
  replicas: 2
  selector: { matchLabels: { app: hello } }
  strategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  template:
    metadata: { labels: { app: hello, environment: {{ .Values.environment }} } }
    spec:
      containers:
        - name: app
          image: {{ .Values.image }}
          env:
            - { name: FAULT, value: {{ .Values.fault | quote }} }
            - { name: SYS_ENV, value: {{ .Values.sysEnv }} }
          ports: [{ name: http, containerPort: 8080 }]
          startupProbe: { httpGet: { path: /livez, port: 8080 }, periodSeconds: 1, failureThreshold: 10 }
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1, failureThreshold: 3 }
          resources: { requests: { cpu: 1m, memory: 8Mi }, limits: { memory: 64Mi } }
---
apiVersion: v1
kind: Service
metadata:
  name: hello
  labels: { environment: {{ .Values.environment }} }
spec:
  selector: { app: hello }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
"""


class Bench(Lab):
    def client(self, namespace):
        address = self.kube("get", "service", "hello", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
        network = f"--net=/proc/{self.node}/ns/net"
        return subprocess.Popen(["nsenter", network, sys.executable, HERE / "client.py", f"{address}:80"], stdout=subprocess.PIPE, text=True)

    def healthy(self, namespace):
        """Whether what runs is the good release, all of it."""
        deployment = json.loads(self.kube("get", "deployment", "hello", "-n", namespace, "-o", "json"))
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        good = container["image"] == self.image and container["env"][0]["value"] == "slow:0ms"
        status = deployment["status"]
        return good and status.get("replicas") == status.get("availableReplicas") == status.get("updatedReplicas") == 2


def values(folder, lab, **changes):
    changed = {key: value.format(repository=lab.image.split("@")[0]) for key, value in changes.items()}
    content = {"environment": "bench", "image": lab.image, "fault": "slow:0ms", "sysEnv": "bench", **changed}
    (folder / "chart/values.bench.yaml").write_text(json.dumps(content))


def repository(folder, namespace, lab):
    (folder / "chart/templates").mkdir(parents=True)
    (folder / "chart/Chart.yaml").write_text(CHART)
    (folder / "chart/values.yaml").write_text("{}")
    (folder / "chart/templates/all.yaml").write_text(TEMPLATES)
    config = {
        "version": 1,
        "project": "bench",
        "services": {"hello": {"path": ".", "language": "other", "chart": "chart"}},
        "environments": {"bench": {"namespace": namespace, "values": "values.bench.yaml", "kubeconfig": lab.kubeconfig,
                                   "budgets": {"soak": "3s"}}},
    }
    (folder / "pipeline.yaml").write_text(json.dumps(config))
    values(folder, lab)


def slipway(folder, lab, namespace):
    return [lab.ship, "deploy", "--env", "bench", "--root", folder]


def with_helm(folder, lab, namespace):
    chart = folder / "chart"
    return [lab.helm, "upgrade", "--install", "hello", chart, "-n", namespace, "--values", chart / "values.bench.yaml",
            "--rollback-on-failure", "--wait"]


def measure(lab, tool, command, case, results):
    namespace = f"{tool}-{case.replace(' ', '-')}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lab.namespace(namespace)
        repository(folder, namespace, lab)
        run(command(folder, lab, namespace), env=lab.env)
        client = lab.client(namespace)
        time.sleep(2)
        values(folder, lab, **CASES[case])
        say(f"{tool}: {case}")
        begun = time.monotonic()
        done = subprocess.run([str(word) for word in command(folder, lab, namespace)], capture_output=True, text=True, env=lab.env)
        seconds = time.monotonic() - begun
        healthy = lab.healthy(namespace)
        time.sleep(2)
        client.terminate()
        seen = json.loads(client.communicate()[0])
        say(f"{tool}: {case}: exit {done.returncode} after {seconds:.1f} s, healthy: {healthy}, {seen}\n{done.stdout}{done.stderr}")
        results[tool, case] = (seconds, done.returncode, healthy, seen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--without-helm", action="store_true", help="only our own side; Helm waits for five minutes a case")
    args = parser.parse_args()
    if shutil.which("nsenter") is None or os.geteuid() != 0:
        sys.exit("this needs root and nsenter")
    lab = Bench("bench-rollback")
    results = {}
    try:
        for case in CASES:
            measure(lab, "slipway", slipway, case, results)
        if not args.without_helm:
            # Helm does little but wait; the three do not disturb each other.
            threads = [threading.Thread(target=measure, args=(lab, "helm", with_helm, case, results)) for case in CASES]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        lab.down()
    print("| what is wrong | `deploy` of Slipway | requests lost | `helm upgrade --rollback-on-failure` | requests lost | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        seconds, code, healthy, seen = results["slipway", case]
        if code != 12 or not healthy:
            sys.exit(f"{case}: exit {code}, healthy: {healthy}: not rolled back and verified")
        cells = [case, f"{seconds:.1f} s", f"{seen['lost']} of {seen['asked']}"]
        if ("helm", case) in results:
            theirs, _, healthy, lost = results["helm", case]
            state = "" if healthy else ", not healthy then"
            cells += [f"{theirs:.1f} s{state}", f"{lost['lost']} of {lost['asked']}", f"{theirs / seconds:.0f} ×"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
