"""The pages of the person on call: what failed, why, for which business document, and try it again. No JavaScript is needed."""
