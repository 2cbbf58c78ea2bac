"""Example secrets in the formats in which they can reach a log, and a check for them. None of them is real."""

ADMIN_TOKEN = "operators-own-secret-token-0123456789"
DATABASE_URL = "postgresql://imagesvc:pa%24%24word-of-db@db.example/imagesvc"
SECRET_KEYS = "2026-11:aaaa+bbbb/cccc=dddd-eeee-ffff-gggg,old:an-older-secret-of-32-bytes-or-so"
JWT = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJqdGkiOiIwMTk4YzVhMCJ9.3ihQJYq4XJH9VY3mJhZ8ZrP4W3nK0yB2QmO1Jb7sT5E"
API_KEY = "Zq3ihQJYq4XJH9VY3mJhZ8ZrP4W3nK0yB2QmO1Jb7sT5E"

# texts with a secret in them
LEAKS = [
    f"Authorization: Bearer {JWT}",
    f"authorization: bearer {API_KEY}",
    "Authorization: Basic YW5uOmh1bnRlcjI=",
    f"the token {JWT} is expired",
    f"cut off in the middle: {JWT[:60]}",
    f"GET /u/{JWT}/holiday.jpg",
    "PUT /u/0123456789abcdef/a.jpg",
    "GET /s/0123456789abcdef?x=1",
    "see http%3A%2F%2Fhost%2Fu%2F0123456789abcdef",
    "https://s3.example/bucket/key?X-Amz-Credential=AKIA0123456789abcdef&X-Amz-Signature=0123456789abcdef",
    "X-Amz-Security-Token: 0123456789abcdef",
    "Signature=0123456789abcdef, SignedHeaders=host",
    "http://shop.example/a.jpg?session=0123456789abcdef",
    "redis://:hunter2-hunter2@valkey:6379/0 refused",
    "https://0123456789abcdef@github.example/x",
    "postgresql+asyncpg://ann:p@ss-hunter2@db/x",
    "password=hunter2-hunter2 user=ann",
    "{'password': 'hunter2-hunter2', 'account': 'ann'}",
    '{"client_secret": "hunter2-hunter2"}',
    '{\\"api_key\\": \\"hunter2-hunter2\\"}',
    "[(b'host', b'x'), (b'authorization', b'hunter2-hunter2'), (b'cookie', b'hunter2-hunter2')]",
    "Set-Cookie: session=hunter2-hunter2; Path=/",
    f"key {API_KEY} is revoked",
    "[SQL: INSERT INTO api_keys VALUES ($1)]\n[parameters: ('hunter2-hunter2', 3)]\n(Background on this error)",
    "Input should be a valid integer [type=int_parsing, input_value='hunter2-hunter2', input_type=str]",
    f"tried {ADMIN_TOKEN}",
    "the password pa$$word-of-db was refused",
    "the password pa%24%24word-of-db was refused",
    "aaaa+bbbb/cccc=dddd-eeee-ffff-gggg",
    "aaaa%2Bbbbb%2Fcccc%3Ddddd-eeee-ffff-gggg",
    "an-older-secret-of-32-bytes-or-so",
]
# parts of the secrets that must not appear in a log
PIECES = [
    "hunter2",
    "0123456789abcdef",
    "YW5uOmh1bnRlcjI",
    JWT[:25],
    JWT.split(".")[1],
    JWT.split(".")[2],
    API_KEY,
    ADMIN_TOKEN,
    "word-of-db",
    "cccc",
    "older-secret",
    "s-hunter2",
]


def leaked(text: str) -> list[str]:
    """The parts of secrets that the text contains."""
    return [piece for piece in PIECES if piece in text]
