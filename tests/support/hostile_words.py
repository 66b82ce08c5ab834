"""What strangers may call their things: words that run as script where they are taken for HTML."""

HARM = "window.harmed=1"
"""Sets a flag that stays unset as long as no word runs."""

WORDS = (
    f"<img src=x onerror={HARM}>",
    f"</script><script>{HARM}</script>",
    f"'\"><svg onload={HARM}>`${{{HARM}}}`",
    "\u202ereversed\u2066 \x07\x1b[31mred\x00\ufeff\u2028end",
    "{{7*7}}<!--<script>&lt;b&gt;&#x3c;script&#x3e;",
)
HOSTILE = (" ".join(WORDS), f"javascript:{HARM}//")
"""Of the first some part runs wherever text is taken for HTML, the second where it is a link."""
