"""Checks that the parts of a manifest fit together, and prints their kinds: MANIFEST PROGRAM."""
import subprocess
import sys

try:
    import yaml
except ImportError:
    print("SKIPPED: the check of the manifest, because python3-yaml is missing")
    sys.exit()

with open(sys.argv[1]) as manifest:
    parts = list(yaml.safe_load_all(manifest))
deployment, service, budget = parts
labels = deployment["spec"]["template"]["metadata"]["labels"]
for selector in [
    deployment["spec"]["selector"]["matchLabels"],
    service["spec"]["selector"],
    budget["spec"]["selector"]["matchLabels"],
]:
    assert selector.items() <= labels.items(), selector
(container,) = deployment["spec"]["template"]["spec"]["containers"]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
assert [port["targetPort"] for port in service["spec"]["ports"]] == ["web"]
for probe in ["readinessProbe", "livenessProbe"]:
    assert container[probe]["httpGet"]["port"] == "metrics", probe
options = dict(argument.split("=") for argument in container["args"] if "=" in argument)
assert options["--listen"] == f"0.0.0.0:{ports['web']}"
assert options["--metrics"] == f"0.0.0.0:{ports['metrics']}"
assert budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]
# The program must accept these arguments. They are passed with a folder that does not exist, since
# with --help it would not check their values.
command = [sys.argv[2], *container["args"][:2], "/nowhere", *container["args"][3:]]
refused = subprocess.run(command, capture_output=True, text=True)
assert refused.returncode == 1 and "/nowhere" in refused.stderr, refused
print(*(part["kind"] for part in parts))
