# A room for the people of a JupyterHub: one service, a key for each person, one model in memory.
#
# The Littlest JupyterHub: copy this file into /opt/tljh/config/jupyterhub_config.d/.
# Any other hub on one machine: load_subconfig("room.py"), as jupyterhub_config.py beside it does.
# docs/room_hub.md has the steps.

from cookbook.room.hub import Room

room = Room(
    # The one environment that needs torch:
    # python3 -m venv /opt/room && /opt/room/bin/pip install 'siliconcloud-cookbook[local]'
    python="/opt/room/bin/python",
    # Files, jobs and models of everybody. The room makes it, closed to all other accounts.
    folder="/srv/room/data",
    # The account that the room runs as, where the hub runs as root; None: the hub's own account.
    # adduser --system --group --home /srv/room room
    user="room",
    port=8765,
    # COOKBOOK_LANG is the language of the room's log; people are answered in their notebook's.
    # COOKBOOK_BASE_MODEL, COOKBOOK_JOBS and COOKBOOK_MEMORY go here, too.
    environment={"COOKBOOK_LANG": "zh"},
)

c.JupyterHub.services.append(room.service())
c.Spawner.pre_spawn_hook = room.give_key
