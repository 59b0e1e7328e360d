#!/bin/sh
# Builds the distribution and tries it where the checkout cannot help: try_wheel.sh UV
set -eu
uv=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$uv" build --quiet --wheel --out-dir "$folder"
"$uv" venv --quiet --python python3 "$folder/env"
"$uv" export --quiet --frozen --no-dev --no-emit-project --output-file "$folder/requirements.txt" >/dev/null
"$uv" pip install --quiet --python "$folder/env/bin/python" --requirement "$folder/requirements.txt"
"$uv" pip install --quiet --python "$folder/env/bin/python" --no-deps "$folder"/leadstream-*.whl

cd "$folder"
env/bin/leadstream --help >/dev/null
env/bin/python - <<'PYTHON'
import schemas
from ingest.codec import Codec
from processors.app import work_fetch, work_map

assert "leads.v1" in schemas.topics(), "the wheel has no topics"
for name in ("Lead", "LeadDetails"):
    Codec(name, schema_id=1)
PYTHON
# Without settings a command says which are missing, and that it was used wrongly.
if env/bin/leadstream work map >out 2>&1; then
    echo "the wheel's 'work map' ran without settings" >&2
    exit 1
elif ! grep -q KAFKA_BOOTSTRAP_SERVERS out; then
    cat out >&2
    exit 1
fi
echo "the wheel works outside the checkout"
