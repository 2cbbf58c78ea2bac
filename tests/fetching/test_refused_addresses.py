"""Addresses that the fetcher refuses, in many spellings. A listener on loopback counts the connections it gets."""

import socket

import pytest

from imagesvc.fetching import Fetcher, FetchRefused, parse_url, without_query
from imagesvc.fetching.addresses import AllowedTarget
from tests.fetching.conftest import NewFetcher
from tests.fetching.fetched import body_of, failure_of
from tests.support.image_server import ImageServer, image_server

REFUSED = """
http://127.0.0.1:{port}/ http://127.0.0.1.:{port}/ http://127.1:{port}/ http://127.0.1:{port}/ http://0:{port}/
http://0.0.0.0:{port}/ http://2130706433:{port}/ http://2130706433.:{port}/ http://017700000001:{port}/
http://0x7f000001:{port}/ http://0x7F.1:{port}/ http://0x7f.0x0.0x0.0x1:{port}/ http://0177.0.0.1:{port}/
http://0177.0.0.01:{port}/ http://0177.0x0.0.1:{port}/ http://127.0.0.0x1:{port}/ http://127.000.000.001:{port}/
http://127.0.0.1.:{port}/ http://127.255.255.254:{port}/ http://127.0.0.1%00:{port}/ http://127.0.0.1%2e:{port}/
http://%31%32%37.0.0.1:{port}/ http://127。0。0。1:{port}/ http://１２７.0.0.1:{port}/ http://①②⑦.0.0.1:{port}/
http://٤.0.0.1:{port}/ http://localhost:{port}/ http://LOCALHOST:{port}/ http://localhost.:{port}/
http://ⓛocalhost:{port}/ http://[::1]:{port}/ http://[0:0:0:0:0:0:0:1]:{port}/ http://[::]:{port}/
http://[0000::0001]:{port}/ http://[::ffff:127.0.0.1]:{port}/ http://[::ffff:7f00:1]:{port}/ http://[::127.0.0.1]:{port}/
http://[::7f00:1]:{port}/ http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/ http://[::ffff:0:127.0.0.1]:{port}/
http://[64:ff9b::127.0.0.1]:{port}/ http://[64:ff9b::7f00:1]:{port}/ http://[64:ff9b:1::7f00:1]:{port}/
http://[2002:7f00:1::]:{port}/ http://[2002:7f00:1::1]:{port}/ http://[2001:0:7f00:1::]:{port}/
http://[2001:4860::5efe:7f00:1]:{port}/ http://[2001:4860::200:5efe:7f00:1]:{port}/ http://[fe80::1]:{port}/
http://[fe80::1%25lo]:{port}/ http://[::1%25lo]:{port}/ http://[fc00::1]:{port}/ http://[fd00:ec2::254]/
http://[fec0::1]/ http://[ff02::1]/ http://[100::1]/ http://[2001:db8::1]/ http://[3fff::1]/ http://[5f00::1]/
http://10.0.0.1/ http://10.255.255.255/ http://172.16.0.1/ http://172.31.255.255/ http://192.168.0.1/
http://100.64.0.1/ http://100.127.255.255/ http://100.100.100.200/ http://169.254.169.254/latest/meta-data/
http://169.254.170.2/ http://0xa9fea9fe/ http://2852039166/ http://168.63.129.16/ http://192.0.0.192/ http://192.0.2.1/
http://198.18.0.1/ http://198.51.100.1/ http://203.0.113.1/ http://192.88.99.1/ http://224.0.0.1/ http://239.255.255.250/
http://240.0.0.1/ http://255.255.255.255/ http://0.1.2.3/ http://user@127.0.0.1:{port}/ http://user:pw@127.0.0.1:{port}/
http://example.com@127.0.0.1:{port}/ http://127.0.0.1:{port}@example.com/ http://example.com\\@127.0.0.1:{port}/
http:\\\\127.0.0.1:{port}/ http:/127.0.0.1:{port}/ http:127.0.0.1:{port}/ //127.0.0.1:{port}/ 127.0.0.1:{port}/
http:///127.0.0.1:{port}/ http://:{port}/ http://[127.0.0.1]:{port}/ http://[::1:{port}/ http://127.0.0.1:0/
http://127.0.0.1:{port}0000/ http://127.0.0.1:-1/ http://127.0.0.1:0x50/ http://-.example/ http://a..b/ http://.:{port}/
ftp://127.0.0.1:{port}/ file:///etc/passwd file://127.0.0.1/etc/passwd gopher://127.0.0.1:{port}/ dict://127.0.0.1:{port}/
data:image/png;base64,AA== javascript:1 unix:///run/x.sock ws://127.0.0.1:{port}/ HTTP+UNIX://%2Frun%2Fx.sock/
""".replace("\\\\", "\\").split()

ODD = (
    "http://127.0.0.1:{port}/ ",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "ht\ntp://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nHost: x",
    "http://example.com\x00.127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\x7f",
    "http://127.0.0.1:{port}/\ud800",
    "http://127.0.0.1:{port}/" + "a" * 5000,
    "",
    "http://",
)


def test_the_list_has_at_least_120_spellings() -> None:
    assert len({*REFUSED, *ODD}) >= 120


@pytest.mark.parametrize("spelling", [*REFUSED, *ODD], ids=repr)
async def test_no_spelling_reaches_an_internal_address(
    images: ImageServer, fetcher_with: NewFetcher, spelling: str
) -> None:
    fetcher = fetcher_with()

    reason, retryable = await failure_of(fetcher, spelling.format(port=images.port))

    assert (reason in ("url-refused", "address-refused"), retryable) == (True, False)
    assert images.connections == 0


async def test_redirect_targets_are_checked_like_first_urls(images: ImageServer, fetcher: Fetcher) -> None:
    async with image_server("127.0.0.2") as canary:
        targets = (
            canary.url(),
            "http://2130706434/",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "//user@127.0.0.1/",
        )
        urls = [images.redirect(f"/{n}", target) for n, target in enumerate(targets)]

        answers = [await failure_of(fetcher, url) for url in urls]

    assert {reason for reason, _ in answers} == {"url-refused", "address-refused"}
    assert not any(retryable for _, retryable in answers)
    assert canary.connections == 0


async def test_a_name_is_resolved_once_and_that_address_is_connected(
    images: ImageServer, fetcher_with: NewFetcher
) -> None:
    async with image_server("127.0.0.2") as canary:
        images.serve("/a.jpg", b"picture")
        answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]]
        asked: list[str] = []

        async def rebinding(host: str, port: int) -> list[str]:
            asked.append(host)
            return answers.pop(0)

        fetcher = fetcher_with(fetch_allow="127.0.0.1", parts={"resolve": rebinding})
        url = f"http://pictures.example:{images.port}/a.jpg"

        first = await body_of(fetcher, url)
        await fetcher.__aexit__()
        again = fetcher_with(fetch_allow="127.0.0.1", parts={"resolve": rebinding})
        second = await failure_of(again, f"http://pictures.example:{canary.port}/a.jpg")

    assert (first, second) == (b"picture", ("address-refused", False))
    assert (asked, canary.connections) == (["pictures.example"] * 2, 0)


async def test_of_several_addresses_only_allowed_ones_are_used(images: ImageServer, fetcher_with: NewFetcher) -> None:
    async with image_server("127.0.0.2") as canary:
        images.serve("/a.jpg", b"picture")

        async def both(host: str, port: int) -> list[str]:
            return ["127.0.0.2", "fe80::1%lo", "127.0.0.1"]

        fetcher = fetcher_with(fetch_allow="127.0.0.1", parts={"resolve": both})

        assert await body_of(fetcher, f"http://pictures.example:{images.port}/a.jpg") == b"picture"
        assert canary.connections == 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [(socket.EAI_NONAME, ("address-refused", False)), (socket.EAI_AGAIN, ("not-reachable", True))],
)
async def test_unknown_and_internal_names_get_the_same_answer(
    fetcher_with: NewFetcher, code: int, expected: tuple[str, bool]
) -> None:
    async def missing(host: str, port: int) -> list[str]:
        raise socket.gaierror(code, "no such name")

    assert await failure_of(fetcher_with(parts={"resolve": missing}), "http://intranet/") == expected


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("10.0.0.0/8, 127.0.0.1:{port}", "127.0.0.1"),
        ("pictures.example", "pictures.example"),
        ("Pictures.Example:{port}", "PICTURES.example"),
    ],
)
async def test_targets_that_the_operator_allows_are_reached(
    images: ImageServer, fetcher_with: NewFetcher, allowed: str, host: str
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    fetcher = fetcher_with(fetch_allow=allowed.format(port=images.port), parts={"resolve": resolve})
    images.serve("/a.jpg", b"picture")

    assert await body_of(fetcher, f"http://{host}:{images.port}/a.jpg") == b"picture"


@pytest.mark.parametrize("allowed", ["127.0.0.2", "127.0.0.1:1", "other.example", "pictures.example:1", "::1/128"])
async def test_other_targets_than_the_allowed_ones_stay_refused(
    images: ImageServer, fetcher_with: NewFetcher, allowed: str
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    fetcher = fetcher_with(fetch_allow=allowed, parts={"resolve": resolve})

    assert await failure_of(fetcher, f"http://pictures.example:{images.port}/") == ("address-refused", False)
    assert images.connections == 0


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.0/33", "10.0.0.1/8", "999.1.1.1", "http://x", "a b", "x:0", "x:70000", "[x]"]
)
def test_a_malformed_allow_entry_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="IMAGESVC_FETCH_ALLOW"):
        AllowedTarget.parse(entry)


@pytest.mark.parametrize(
    "own",
    [
        {"database_url": "postgresql://u:p@127.0.0.1:{port}/db"},
        {"database_url": "postgresql://u:p@db1:5432,db2:{port}/db"},
        {"database_url": "postgresql:///db?host=127.0.0.1:{port}"},
        {"redis_url": "redis://:p@localhost:{port}/0"},
        {"s3_endpoint": "http://127.0.0.1:{port}"},
        {"s3_endpoint": "http://minio:{port}"},
        {"host": "127.0.0.1", "port": "{port}"},
        {"host": "0.0.0.0", "port": "{port}"},
    ],
    ids=str,
)
async def test_own_servers_stay_refused_when_their_network_is_allowed(
    images: ImageServer, fetcher_with: NewFetcher, own: dict[str, str]
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    settings = {name: value.format(port=images.port) for name, value in own.items()}
    fetcher = fetcher_with(fetch_allow="127.0.0.0/8,pictures.example", parts={"resolve": resolve}, **settings)

    for host in ("127.0.0.1", "pictures.example", "minio"):
        assert await failure_of(fetcher, f"http://{host}:{images.port}/") == ("address-refused", False)
    assert images.connections == 0


async def test_proxy_variables_of_the_environment_are_ignored(
    images: ImageServer, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with image_server("127.0.0.2") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        images.serve("/a.jpg", b"picture")

        assert await body_of(fetcher, images.url("/a.jpg")) == b"picture"
        assert proxy.connections == 0


async def test_post_refuses_internal_addresses_too(images: ImageServer, fetcher_with: NewFetcher) -> None:
    with pytest.raises(FetchRefused):
        await fetcher_with().post(images.url("/hook"), content=b"{}", headers={})

    assert images.connections == 0


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://Example.COM/a b".replace(" ", "%20"), "example.com", 80),
        ("https://example.com.:8443/ä?x=ü#y", "example.com.", 8443),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ("http://under_score.example/", "under_score.example", 80),
        ("http://93.184.216.34/", "93.184.216.34", 80),
        ("http://[2606:4700::1111]/", "2606:4700::1111", 80),
    ],
)
def test_common_urls_are_accepted(url: str, host: str, port: int) -> None:
    target = parse_url(url)

    assert (target.host, target.port) == (host, port)


def test_urls_in_logs_have_no_credentials_and_no_query() -> None:
    assert without_query("https://u:p@h/a.jpg?X-Amz-Signature=1#f") == "https://h/a.jpg?…"
    assert without_query("https://h/a.jpg#t") == "https://h/a.jpg"


@pytest.mark.parametrize(
    "url",
    [
        *("http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://8.8.8.8./"),
        *("http://a.example/\\x", "http:\\\\a.example/", "http://a.example\\@b.example/", "http://u:p@a.example/"),
    ],
)
def test_urls_that_parsers_read_differently_are_refused(url: str) -> None:
    """When the operator allows loopback, only the check of the spelling refuses these."""
    with pytest.raises(FetchRefused):
        parse_url(url)
