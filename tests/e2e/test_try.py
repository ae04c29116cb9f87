import time
from .test_store_faults import *
def test_try(scene):
    place=scene.place
    extra = [place.agent(f"n{n}", metadata={"n": n})[1]["agent_id"] for n in range(3)]
    f=FAULTS["killed and empty"]
    f.begin(scene.server); f.end(scene.server)
    t=time.monotonic()
    for i in range(60):
        a=scene.server.active(place.prefix)
        if i%5==0: print(round(time.monotonic()-t,1), len(a), scene.server.client.keys("*"), place.get("/ready").status_code)
        time.sleep(.5)
    print(scene.hub.log())
    print(scene.wire.ask("heartbeat"))
    time.sleep(1)
    print(scene.server.client.keys("*"))
    print(scene.hub.log())
