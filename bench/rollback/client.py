"""Asks a service twenty times a second until it is told to stop, and says how often it got no good answer."""

import http.client
import json
import signal
import sys
import threading
import time

host, port = sys.argv[1].rsplit(":", 1)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
asked, lost = 0, []
guard = threading.Lock()


def ask(at):
    global asked
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request("GET", "/healthz", headers={"connection": "close"})
        status = connection.getresponse().status
        error = None if status == 200 else f"status {status}"
    except OSError as failed:
        error = repr(failed)
    except http.client.HTTPException as failed:
        error = repr(failed)
    with guard:
        asked += 1
        if error:
            lost.append((round(at, 1), error))


begun = time.monotonic()
threads = []
number = 0
while not stop.is_set():
    thread = threading.Thread(target=ask, args=(time.monotonic() - begun,))
    thread.start()
    threads.append(thread)
    number += 1
    # The next one at its own time, however long this one takes.
    stop.wait(max(0, begun + number / 20 - time.monotonic()))
for thread in threads:
    thread.join()
print(json.dumps({"asked": asked, "lost": len(lost), "first": lost[:3]}))
