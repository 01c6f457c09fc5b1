"""Sign a file as a sender does, and print the signature: what GitHub and Shopify do before they post.

python docs/tour/sign.py github|shopify KEY FILE
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
from pathlib import Path

sender, key, file = sys.argv[1:]
digest = hmac.new(key.encode(), Path(file).read_bytes(), hashlib.sha256)
print(f"sha256={digest.hexdigest()}" if sender == "github" else base64.b64encode(digest.digest()).decode())
