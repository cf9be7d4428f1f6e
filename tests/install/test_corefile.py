"""Our block in a Corefile: where it goes, what it keeps of the rest, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import Invalid
from isthmus.install.corefile import BEGIN, END, imports, multicluster_line, name_of, read, with_zone, without

ZONE = "clusterset.local"
KUBEADM = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
    }
    loop
    reload
    loadbalance
}
"""
OTHERS = """\
# Submariner's
clusterset.local:53 {
    forward . 10.96.0.77
}
"""
# As the stock manifest of NodeLocal DNSCache has it in a cluster, with what each node fills in.
_NODE = """\
        errors
        cache 30
        reload
        loop
        bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
"""
STOCK = f"""\
cluster.local:53 {{
{_NODE}\
        forward . __PILLAR__CLUSTER__DNS__ {{
                force_tcp
        }}
        prometheus :9253
        health __PILLAR__LOCAL__DNS__:8080
        }}
ip6.arpa:53 {{
{_NODE}\
        forward . __PILLAR__CLUSTER__DNS__
        }}
.:53 {{
{_NODE}\
        forward . __PILLAR__UPSTREAM__SERVERS__
        prometheus :9253
        }}
"""


def block_of(corefile: str) -> tuple[str, ...]:
    """The body of the one block that serves the zone."""
    (found,) = (block for block in read(corefile) if ZONE in {name_of(zone) for zone in block.zones})
    return found.body


def test_the_zone_gets_a_block_of_its_own_and_the_rest_stays() -> None:
    done = with_zone(KUBEADM, ZONE, ["10.96.0.5"])
    assert done.endswith(KUBEADM)
    assert block_of(done) == ("errors", "loadbalance", "cache 5", "forward . 10.96.0.5")


def test_twice_is_once_and_a_new_address_takes_the_place_of_the_old() -> None:
    once = with_zone(KUBEADM, ZONE, ["10.96.0.5"])
    assert with_zone(once, ZONE, ["10.96.0.5"]) == once
    assert block_of(with_zone(once, ZONE, ["10.96.0.6"]))[-1] == "forward . 10.96.0.6"


@pytest.mark.parametrize(
    "corefile",
    [KUBEADM, KUBEADM + OTHERS, OTHERS + KUBEADM, STOCK, OTHERS + STOCK, "", "# nothing\n", "# no end of line", "\r\n"],
)
@pytest.mark.parametrize("is_cache", [False, True])
def test_undoing_gives_back_what_was_there_byte_for_byte(corefile: str, is_cache: bool) -> None:
    done = with_zone(corefile, ZONE, ["10.96.0.5"], replace=True, is_cache=is_cache)
    assert without(done) == corefile
    assert without(corefile) == corefile
    # What was set aside once need not be asked about again.
    assert with_zone(done, ZONE, ["10.96.0.5"], is_cache=is_cache) == done


@given(
    st.lists(st.sampled_from([*KUBEADM.split("\n"), *STOCK.split("\n"), *OTHERS.split("\n"), "\r", "x", "import y"])),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=3),
    st.sampled_from([KUBEADM, STOCK, KUBEADM + OTHERS, "", OTHERS + "\n\n"]),
    st.booleans(),
)
def test_whatever_a_corefile_says_it_is_refused_or_given_back(
    lines: list[str], comments: list[str], base: str, is_cache: bool
) -> None:
    said = [f"# {comment}".replace("\n", " ") for comment in comments if not {comment.strip()} & {BEGIN[2:], END[2:]}]
    for corefile in (base + "\n".join(said), "\n".join([*said, *lines]), "\n".join(lines) + base):
        try:
            done = with_zone(corefile, ZONE, ["10.96.0.5"], replace=True, is_cache=is_cache)
        except Invalid:
            continue
        assert without(done) == corefile
        assert sum(block.serves(ZONE) for block in read(done)) == 1
        assert with_zone(done, ZONE, ["10.96.0.5"], is_cache=is_cache) == done


def test_a_block_that_was_set_aside_by_an_older_release_comes_back() -> None:
    older = f"{BEGIN}\n" + "".join(f"#isthmus-aside {line}\n" for line in OTHERS.splitlines()) + f"{END}\n{KUBEADM}"
    assert without(older) == OTHERS + KUBEADM
    assert without(with_zone(older, ZONE, ["10.96.0.5"])) == OTHERS + KUBEADM


def test_a_block_of_others_for_the_zone_is_refused_unless_it_is_to_be_replaced() -> None:
    with pytest.raises(Invalid, match=r"line 25: another block serves clusterset.local.*--replace"):
        with_zone(KUBEADM + "\n" + OTHERS, ZONE, ["10.96.0.5"])
    done = with_zone(KUBEADM + OTHERS, ZONE, ["10.96.0.5"], replace=True)
    assert block_of(done)[-1] == "forward . 10.96.0.5"
    assert block_of(without(done)) == ("forward . 10.96.0.77",)


def test_port_and_addresses_are_those_of_the_cluster_s_own_block() -> None:
    done = with_zone(".:1053 {\n    bind 10.0.0.1\n    whoami\n}\n", ZONE, ["10.96.0.5"])
    assert read(done)[0].zones == ("clusterset.local:1053",)
    assert block_of(done)[0] == "bind 10.0.0.1"


@pytest.mark.parametrize("corefile", [STOCK, STOCK[: STOCK.index(".:53")]])
def test_a_node_s_cache_is_asked_at_its_own_addresses_and_asks_by_tcp(corefile: str) -> None:
    done = with_zone(corefile, ZONE, ["10.96.0.5"], is_cache=True)
    assert read(done)[0].zones == ("clusterset.local:53",)
    assert block_of(done) == (
        "bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__",
        "errors",
        "cache 5",
        "forward . 10.96.0.5 {",
        "force_tcp",
        "}",
        "prometheus :9253",
    )


def test_without_servers_what_others_have_for_the_zone_is_set_aside_and_nothing_comes_instead() -> None:
    assert with_zone(STOCK, ZONE, [], is_cache=True) == STOCK
    done = with_zone(OTHERS + STOCK, ZONE, [], replace=True, is_cache=True)
    assert not any(block.serves(ZONE) for block in read(done))
    assert without(done) == OTHERS + STOCK


@pytest.mark.parametrize(
    ("corefile", "line"),
    [
        (KUBEADM, 0),
        (OTHERS, 0),
        (OTHERS.replace("forward . 10.96.0.77", "multicluster"), 3),
        (KUBEADM.replace("    ready\n", "    ready\n    multicluster clusterset.local {\n    noendpoints\n    }\n"), 7),
        (KUBEADM.replace("    ready", "    multicluster svc.other.local CLUSTERSET.local."), 6),
        (KUBEADM.replace("    ready", "    multicluster supercluster.local"), 0),
        (KUBEADM.replace("    ready", "    # multicluster clusterset.local"), 0),
        (".:53 {\n    multicluster\n}\n", 2),
        ("example.org,\nexample.com {\n    multicluster clusterset.local\n}\n", 3),
    ],
)
def test_coredns_own_plugin_for_the_zone_is_seen(corefile: str, line: int) -> None:
    assert multicluster_line(corefile, ZONE) == line


@pytest.mark.parametrize(
    ("corefile", "words"),
    [
        pytest.param(".:53 {\n errors\n", "line 1: the block is not closed", id="not closed"),
        pytest.param(".:53 { errors }\n", "line 1: a brace where none is expected", id="on one line"),
        pytest.param("}\n", "line 1: a brace", id="closed, not opened"),
        pytest.param("clusterset.local other.local {\n errors\n}\n", "together with other zones", id="with others"),
        pytest.param("# END isthmus\n", "marks of Isthmus do not match", id="an end without a beginning"),
        pytest.param(
            "# BEGIN isthmus: `isthmus dns configure --undo` takes this away\n", "mark .* is missing", id="no end"
        ),
        pytest.param("x" * (1 << 20) + "\n", "larger than 1 MiB", id="endless"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(corefile: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        with_zone(corefile, ZONE, ["10.96.0.5"], replace=True)


@pytest.mark.parametrize(
    ("corefile", "want"),
    [
        (KUBEADM, ""),
        ("import custom/*.server\n" + KUBEADM, "custom/*.server"),
        (KUBEADM + "import /etc/coredns/custom/*.server\n", "/etc/coredns/custom/*.server"),
        (".:53 {\n    import custom/*.override\n}\n", ""),
    ],
)
def test_files_of_further_blocks_are_found(corefile: str, want: str) -> None:
    assert imports(corefile) == want
    assert read(corefile)[-1].zones == (".:53",)


@pytest.mark.parametrize(
    ("zone", "want"),
    [
        (".:53", "."),
        (".", "."),
        ("dns://Clusterset.Local.:53", ZONE),
        ("clusterset.local", ZONE),
        ("tls://.", "tls://"),
    ],
)
def test_zones_are_compared_without_port_and_protocol(zone: str, want: str) -> None:
    assert name_of(zone) == want
