# JupyterHub on one machine, with a room. As root: jupyterhub -f jupyterhub_config.py
# docs/room_hub.md has the steps; The Littlest JupyterHub needs only room.py.

load_subconfig("room.py")

# People log in with their accounts on this machine; who may, and who sees everybody's servers.
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"teacher"}
# To try it out without accounts, on a machine that nobody else reaches: everybody is one account
# of the system and can read everybody's files and keys.
#   c.JupyterHub.authenticator_class = "dummy"
#   c.DummyAuthenticator.password = "…"
#   c.JupyterHub.spawner_class = "simple"

# Where people reach the hub. Without TLS, passwords and keys can be read on the way.
c.JupyterHub.bind_url = "http://:8000"
#   c.JupyterHub.bind_url = "https://:443"
#   c.JupyterHub.ssl_key = "/etc/ssl/private/hub.key"
#   c.JupyterHub.ssl_cert = "/etc/ssl/certs/hub.pem"

# Memory of one person's server with its kernels. Only a spawner that can enforce it does so:
#   pip install jupyterhub-systemdspawner
#   c.JupyterHub.spawner_class = "systemd"
c.Spawner.mem_limit = "1G"

c.Spawner.args = [
    # A kernel that nobody has used for an hour ends; the room keeps jobs and models.
    "--MappingKernelManager.cull_idle_timeout=3600",
    "--MappingKernelManager.cull_interval=300",
    # And so does a server without kernels, after another hour.
    "--ServerApp.shutdown_no_activity_timeout=3600",
]

# The page that opens after the login. New accounts have the notebooks if these were put there:
# python -m cookbook course /etc/skel/course
c.Spawner.default_url = "/lab/tree/course/00_quickstart.ipynb"

# A room of people presses Start at once. Each start takes a second or two of one core.
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180

# numpy would start a thread for each core in each kernel.
c.Spawner.environment = {"OPENBLAS_NUM_THREADS": "1"}
