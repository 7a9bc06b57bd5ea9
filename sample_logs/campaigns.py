"""The campaigns that `--attacks` plants, and the traffic that only looks like one.

Each story takes place in every lane of `attacks.LANES`, on addresses of its own, on the
day before the last one. Its number decides the addresses and the time.
"""

from .exchange import ICMP, UDP
from .stories import (
    ACCOUNT,
    CHECK,
    CLOSED,
    HOST,
    INTERFACE,
    LOGIN,
    PEER,
    REFUSED,
    SESSION,
    UNANSWERED,
    Carried,
    End,
    Found,
    Story,
    Talk,
    hosts,
    peers,
)

GRE, ESP = 47, 50
_HOUR = 3_600
_EARLIER = range(2, 10)
_EVERY_DAY = range(9)
_KNOWN = (1, 4)
_ELSEWHERE = End(False, known=("91.198.174.7", "2a0b:4d07:2::7"))
_DROP = End(False, known=("91.199.3.3", "2a0b:4d08:3::3"))
_QUAD9 = End(False, known=("9.9.9.9", "2620:fe::fe"))

CAMPAIGNS = (
    # Discovery
    Story(
        "the internet scans the ports of a host",
        (Talk(PEER, HOST, range(1000, 1260), REFUSED),),
        (Found("port_scan_vertical", PEER, HOST),),
    ),
    Story(
        "a host of ours scans the ports of another, which closes them",
        (Talk(HOST, hosts(1), range(1, 81), CLOSED),),
        (Found("port_scan_vertical", HOST, hosts(1)),),
    ),
    Story(
        "a bot of ours looks for Telnet on the internet",
        (Talk(HOST, peers(110), 23, UNANSWERED),),
        (
            Found("port_scan_horizontal", HOST, port=23),
            Found("cleartext_login_to_internet", HOST, port=23),
        ),
    ),
    Story(
        "a worm looks for file shares",
        (Talk(HOST, hosts(120), 445, UNANSWERED),),
        (Found("port_scan_horizontal", HOST, port=445),),
    ),
    Story(
        "a host of ours guesses hosts and ports",
        (
            Talk(HOST, hosts(220), range(8100, 8320), UNANSWERED),
            Talk(HOST, hosts(1), 443),
        ),
        (Found("contacts_that_fail", HOST),),
    ),
    Story(
        "a scan finds an open port and goes on with it",
        (
            Talk(PEER, HOST, range(8001, 8006), REFUSED),
            Talk(PEER, HOST, 8080, SESSION, after=600),
        ),
        (Found("refused_then_accepted", HOST, PEER),),
    ),
    # Password guessing
    Story(
        "the internet guesses passwords of SSH",
        (Talk(PEER, HOST, 22, LOGIN, times=30),),
        (
            Found("ssh_brute_force", PEER, HOST, 22),
            Found("new_admin_exposure", HOST, port=22),
        ),
    ),
    Story(
        "a host of ours guesses passwords of SSH",
        (Talk(HOST, hosts(1), 22, LOGIN, times=40),),
        (Found("ssh_brute_force", HOST, hosts(1), 22),),
    ),
    Story(
        "the internet guesses passwords of RDP",
        (Talk(PEER, HOST, 3389, LOGIN, times=30),),
        (
            Found("rdp_brute_force", PEER, HOST, 3389),
            Found("new_admin_exposure", HOST, port=3389),
        ),
    ),
    Story(
        "a host of ours guesses passwords of RDP",
        (Talk(HOST, hosts(1), 3389, LOGIN, times=25),),
        (Found("rdp_brute_force", HOST, hosts(1), 3389),),
    ),
    Story(
        "a host of ours guesses passwords of WinRM",
        (Talk(HOST, hosts(1), 5985, LOGIN, times=70),),
        (Found("login_brute_force", HOST, hosts(1), 5985),),
    ),
    Story(
        "the internet guesses passwords of Telnet",
        (Talk(PEER, HOST, 23, LOGIN, times=65),),
        (
            Found("login_brute_force", PEER, HOST, 23),
            Found("remote_admin_from_public", HOST, port=23),
        ),
    ),
    Story(
        "a botnet guesses passwords, each address once",
        (Talk(peers(55), HOST, 22, LOGIN),),
        (
            Found("brute_force_by_many", HOST, port=22),
            Found("new_admin_exposure", HOST, port=22),
        ),
    ),
    # Ports of ours that the internet reaches
    Story(
        "the internet reads a database",
        (Talk(PEER, HOST, 5432),),
        (Found("database_port_from_public", HOST, port=5432),),
    ),
    Story(
        "several addresses reach an open Redis",
        (Talk(peers(3), HOST, 6379),),
        (Found("database_port_from_public", HOST, port=6379),),
    ),
    Story(
        "the internet reaches a file share",
        (Talk(PEER, HOST, 445),),
        (Found("windows_port_from_public", HOST, port=445),),
    ),
    Story(
        "the internet reaches a screen",
        (Talk(PEER, HOST, 5900),),
        (Found("remote_admin_from_public", HOST, port=5900),),
    ),
    Story(
        "the internet starts containers",
        (Talk(PEER, HOST, 2375),),
        (Found("orchestration_port_from_public", HOST, port=2375),),
    ),
    Story(
        "a security group is opened for SSH",
        (Talk(PEER, HOST, 22),),
        (Found("new_admin_exposure", HOST, port=22),),
    ),
    # Ways out
    Story(
        "a file share on the internet takes files",
        (Talk(HOST, PEER, 445),),
        (Found("smb_to_internet", HOST, port=445),),
    ),
    Story(
        "an exploit fetches code over LDAP",
        (Talk(HOST, PEER, 1389, CHECK),),
        (Found("ldap_to_internet", HOST, port=1389),),
    ),
    Story(
        "a remote screen leads out",
        (Talk(HOST, PEER, 3389),),
        (Found("remote_desktop_to_internet", HOST, port=3389),),
    ),
    Story(
        "a bot waits in a chat room",
        (Talk(HOST, PEER, 6667),),
        (Found("irc_to_internet", HOST, port=6667),),
    ),
    Story(
        "mail goes out past the relay",
        (Talk(HOST, PEER, 25),),
        (Found("mail_to_internet", HOST, port=25),),
    ),
    Story(
        "a host sends spam",
        (Talk(HOST, peers(60), 25),),
        (
            Found("mail_to_many_servers", HOST, port=25),
            Found("mail_to_internet", HOST, port=25),
        ),
    ),
    Story(
        "a password goes out in clear text",
        (Talk(HOST, PEER, 21),),
        (Found("cleartext_login_to_internet", HOST, port=21),),
    ),
    Story(
        "a program asks a DNS server of its own",
        (Talk(HOST, PEER, 53, Carried((1, 80), (1, 200)), UDP, times=15),),
        (Found("dns_to_internet", HOST, PEER, 53, UDP),),
    ),
    Story(
        "data leaves in questions to the resolver",
        (
            Talk(
                HOST,
                hosts(1),
                53,
                Carried((4_000, 600_000), (4_000, 500_000)),
                UDP,
                times=20,
                every=600,
            ),
        ),
        (Found("dns_tunnel", HOST, hosts(1), 53, UDP),),
    ),
    Story(
        "data leaves in pings",
        (Talk(HOST, PEER, 0, Carried((100, 120_000), (100, 120_000)), ICMP, times=10),),
        (Found("icmp_tunnel", HOST, PEER, protocol=ICMP),),
    ),
    Story(
        "a tunnel of GRE leads out",
        (Talk(HOST, PEER, 0, protocol=GRE),),
        (Found("uncommon_protocol", HOST, PEER, protocol=GRE),),
    ),
    Story(
        "a host of ours sends far more than on its days before",
        (
            Talk(
                HOST, PEER, 443, Carried((15_000, 20_000_000), (9, 900)), days=_EARLIER
            ),
            Talk(HOST, PEER, 443, Carried((200_000, 300_000_000), (9, 900)), times=10),
        ),
        (Found("upload_above_baseline", HOST, protocol=None),),
    ),
    Story(
        "files go to a network that is new",
        (Talk(HOST, _DROP, 443, Carried((100_000, 120_000_000), (9_000, 400_000))),),
        (Found("upload_to_new_network", HOST, protocol=None),),
    ),
    Story(
        "malware tries its servers one by one",
        (Talk(HOST, peers(510), 443, REFUSED), Talk(HOST, PEER, 443)),
        (Found("blocked_egress", HOST),),
    ),
    # Impact and lateral movement
    Story(
        "a miner stays in its pool",
        (Talk(HOST, PEER, 3333, times=6, every=_HOUR, is_one_connection=True),),
        (Found("mining_pool", HOST, PEER, 3333),),
    ),
    Story(
        "a time server answers to victims",
        (Talk(peers(10), HOST, 123, Carried((90, 9_000), (900, 1_200_000)), UDP),),
        (Found("amplifier", HOST, port=123, protocol=UDP),),
    ),
    Story(
        "connections without data fill a server",
        (Talk(PEER, HOST, 443, UNANSWERED, times=10_100, every=3),),
        (Found("syn_flood", HOST, PEER, 443),),
        formats=("default",),
    ),
    Story(
        "connections with data keep a server busy",
        (Talk(PEER, HOST, 80, CHECK, times=10_100, every=0.1),),
        (Found("connection_flood", HOST, PEER, 80),),
        formats=("rich",),
    ),
    Story(
        "a host of ours floods another network",
        (Talk(HOST, PEER, 0, Carried((1_100_000, 90_000_000), None), ICMP),),
        (Found("packet_flood", HOST, PEER, protocol=ICMP),),
    ),
    Story(
        "an intruder goes on to file shares of other hosts",
        (Talk(HOST, hosts(6), 445),),
        (Found("east_west_admin", HOST, port=445),),
    ),
    Story(
        "an intruder goes on to screens of other hosts",
        (Talk(HOST, hosts(8), 3389),),
        (Found("east_west_admin", HOST, port=3389),),
    ),
    # What a host did not do before
    Story(
        "a program calls home every ten minutes",
        (Talk(HOST, PEER, 443, CHECK, times=48, every=600),),
        (Found("beacon", HOST, PEER, 443),),
    ),
    Story(
        "a shell stays open for ten hours",
        (Talk(HOST, PEER, 9001, CHECK, times=31, every=1_200, is_one_connection=True),),
        (Found("long_connection", HOST, PEER, 9001),),
    ),
    Story(
        "a host of ours looks for others over four days",
        (
            Talk(HOST, hosts(1), 443, days=range(1, 5)),
            *(
                Talk(
                    HOST,
                    End(True, 7 * day, 7),
                    22,
                    UNANSWERED,
                    every=1_800,
                    days=(day,),
                )
                for day in range(1, 5)
            ),
        ),
        (Found("slow_scan", HOST),),
    ),
    Story(
        "a worm goes on to many file shares",
        (
            Talk(HOST, hosts(2), 445, days=_EARLIER),
            Talk(HOST, hosts(15), 445),
        ),
        (
            Found("smb_spike", HOST, protocol=None),
            Found("east_west_admin", HOST, port=445),
        ),
    ),
    Story(
        "a host reaches a network that it never did",
        (
            Talk(HOST, PEER, 443, days=_EARLIER),
            Talk(HOST, PEER, 443),
            Talk(HOST, _ELSEWHERE, 443, after=900),
        ),
        (Found("new_destination", HOST, _ELSEWHERE),),
    ),
    Story(
        "a host uses a port of the internet that it never did",
        (
            Talk(HOST, PEER, 443, days=_EARLIER),
            Talk(HOST, PEER, 8022, after=900),
        ),
        (Found("new_outbound_port", HOST, port=8022),),
        formats=("default", "rich, IPv6"),
    ),
    Story(
        "a host serves a port that it never did",
        (
            Talk(hosts(1), HOST, 5432, days=_EARLIER),
            Talk(hosts(1), HOST, 8081, after=900),
        ),
        (Found("new_service", HOST, port=8081),),
        formats=("default", "rich, IPv6"),
    ),
    Story(
        "records are skipped while an interface is flooded",
        skipped=90,
        finds=(Found("records_skipped", INTERFACE, protocol=None),),
    ),
    Story(
        "an intruder stops the logs of an interface",
        (
            Talk(HOST, hosts(2), 443, days=(2,)),
            Talk(HOST, hosts(2), 443, times=8, every=_HOUR, logged_by=(False, True)),
        ),
        (Found("interface_silent", INTERFACE, HOST, protocol=None),),
    ),
    Story(
        "an intruder stops the logs of an account for two hours",
        (
            Talk(HOST, hosts(1), 443, times=24, every=_HOUR, days=range(2, 6)),
            Talk(HOST, hosts(1), 443, times=8, every=_HOUR),
            Talk(HOST, hosts(1), 443, times=13, every=_HOUR, after=10 * _HOUR),
        ),
        (Found("logs_interrupted", ACCOUNT, protocol=None),),
        has_own_account=True,
    ),
    # What users don't allow
    Story(
        "the internet reaches a port that is not allowed",
        (Talk(PEER, HOST, 8446),),
        (Found("inbound_port_not_allowed", HOST, port=8446),),
        variable="allowed_inbound_ports",
    ),
    Story(
        "a host uses a port outside that is not allowed",
        (Talk(HOST, PEER, 8447),),
        (Found("outbound_port_not_allowed", HOST, port=8447),),
        variable="allowed_outbound_ports",
    ),
)

LOOK_ALIKES = (
    Story(
        "a vulnerability scanner of one's own",
        (Talk(HOST, hosts(105), 22, CLOSED),),
        (Found("port_scan_horizontal", HOST, port=22),),
        looks_like="port_scan_horizontal",
        suppressed="our vulnerability scanner",
    ),
    Story(
        "health checks of a load balancer",
        (Talk(HOST, hosts(4), 8080, CHECK, times=120, every=30),),
        looks_like="syn_flood",
    ),
    Story(
        "health checks of SSH",
        (Talk(HOST, hosts(1), 22, CHECK, times=60),),
        looks_like="ssh_brute_force",
    ),
    Story(
        "a backup of every night",
        (
            Talk(
                HOST,
                PEER,
                443,
                Carried((900_000, 1_200_000_000), (900, 90_000)),
                days=_EVERY_DAY,
            ),
        ),
        looks_like="upload_above_baseline",
    ),
    Story(
        "logs shipped all day to a service",
        (
            Talk(
                HOST,
                PEER,
                443,
                Carried((60_000, 75_000_000), (9_000, 90_000)),
                times=14,
                every=1_500,
                days=_EVERY_DAY,
            ),
        ),
        looks_like="upload_above_baseline",
    ),
    Story(
        "the time of a public pool",
        (Talk(HOST, peers(105), 123, Carried((1, 76), (1, 76)), UDP),),
        looks_like="port_scan_horizontal",
    ),
    Story(
        "a content network whose addresses change",
        (Talk(HOST, peers(210), 443),),
        looks_like="contacts_that_fail",
    ),
    Story(
        "video calls",
        (
            Talk(
                HOST,
                peers(12),
                range(8801, 8813),
                Carried((9_000, 9_000_000), (9_000, 10_000_000)),
                UDP,
                times=60,
            ),
        ),
        looks_like="upload_above_baseline",
    ),
    Story(
        "QUIC to many servers",
        (Talk(HOST, peers(110), 443, protocol=UDP),),
        looks_like="port_scan_horizontal",
    ),
    Story(
        "CI that fetches code over SSH",
        (Talk(HOST, PEER, 22, times=80),),
        looks_like="ssh_brute_force",
    ),
    Story(
        "deployments over SSH to hosts that are known",
        (Talk(HOST, hosts(12), 22, times=36, every=10, days=_KNOWN),),
        looks_like="east_west_admin",
    ),
    Story(
        "a jump host with many users",
        (
            Talk(hosts(60), HOST, 22, LOGIN),
            Talk(hosts(60), HOST, 22, SESSION, every=21, after=1_800),
        ),
        looks_like="brute_force_by_many",
    ),
    Story(
        "a long SSH session",
        (Talk(HOST, hosts(1), 22, LOGIN, times=50, every=60, is_one_connection=True),),
        looks_like="ssh_brute_force",
    ),
    Story(
        "a Windows domain controller and its members",
        (
            Talk(hosts(20), HOST, 88, CHECK),
            Talk(hosts(20), HOST, 389),
            Talk(hosts(20), HOST, 445),
            Talk(hosts(20), HOST, 135, CHECK),
            Talk(hosts(20), HOST, range(49_660, 49_680), CHECK),
        ),
        looks_like="port_scan_vertical",
    ),
    Story(
        "monitoring that asks all hosts",
        (Talk(HOST, hosts(220), 9100, CHECK),),
        looks_like="contacts_that_fail",
    ),
    Story(
        "instances that autoscaling starts",
        (
            Talk(hosts(20), HOST, 5432),
            Talk(hosts(20), PEER, 443),
        ),
        looks_like="database_port_from_public",
    ),
    Story(
        "container images from a registry",
        (
            Talk(
                HOST, PEER, 443, Carried((90_000, 4_000_000), (900_000, 2**30)), times=8
            ),
        ),
        looks_like="upload_above_baseline",
    ),
    Story(
        "hosts that ask the VPC's resolver",
        (Talk(hosts(60), HOST, 53, Carried((1, 80), (1, 200)), UDP, times=120),),
        looks_like="dns_tunnel",
    ),
    Story(
        "a host that asks a known resolver",
        (Talk(HOST, _QUAD9, 53, Carried((1, 80), (1, 200)), UDP, times=40),),
        looks_like="dns_to_internet",
    ),
    Story(
        "passive FTP inside",
        (
            Talk(HOST, hosts(1), 21, Carried((60, 4_000), (60, 5_000))),
            Talk(HOST, hosts(1), range(20_000, 20_055)),
        ),
        looks_like="port_scan_vertical",
    ),
    Story(
        "traceroute",
        (Talk(HOST, PEER, range(33_434, 33_524), UNANSWERED, UDP),),
        looks_like="port_scan_vertical",
    ),
    Story(
        "background noise of the internet",
        (
            Talk(peers(60), HOST, 23, REFUSED),
            Talk(peers(60), HOST, 22, REFUSED, every=40),
            Talk(End(False, 61), HOST, range(2_000, 2_100), REFUSED),
            Talk(End(False, 62), hosts(110), 23, REFUSED),
        ),
        looks_like="port_scan_vertical",
    ),
    Story(
        "background noise at a NAT gateway, which drops it",
        tuple(
            Talk(peers(20), HOST, port, UNANSWERED, every=60)
            for port in (22, 23, 445, 3306, 3389)
        ),
        looks_like="database_port_from_public",
    ),
    Story(
        "a partner that tries a wrong port first",
        (
            Talk(PEER, HOST, range(8001, 8003), REFUSED),
            Talk(PEER, HOST, 8443, after=120),
        ),
        looks_like="refused_then_accepted",
    ),
    Story(
        "a program that retries a dead server",
        (Talk(HOST, hosts(1), 8080, CLOSED, times=100),),
        looks_like="contacts_that_fail",
    ),
    Story(
        "a mail program with a login",
        (Talk(HOST, PEER, 587, times=20),),
        looks_like="mail_to_internet",
    ),
    Story(
        "pings that watch a line",
        (Talk(HOST, PEER, 0, Carried((60, 5_040), (60, 5_040)), ICMP, times=60),),
        looks_like="icmp_tunnel",
    ),
    Story(
        "a VPN behind NAT",
        (
            Talk(HOST, PEER, 500, protocol=UDP),
            Talk(
                HOST,
                PEER,
                4500,
                protocol=UDP,
                times=30,
                every=600,
                is_one_connection=True,
            ),
        ),
        looks_like="uncommon_protocol",
    ),
    Story(
        "ESP between two of our networks",
        (Talk(HOST, hosts(1), 0, protocol=ESP, times=20),),
        looks_like="uncommon_protocol",
    ),
    Story(
        "a short visit to a port of mining pools",
        (Talk(HOST, PEER, 4444, times=3, every=60),),
        looks_like="mining_pool",
    ),
    Story(
        "a public name server with short answers",
        (Talk(peers(40), HOST, 53, Carried((200, 16_000), (200, 60_000)), UDP),),
        looks_like="amplifier",
    ),
    Story(
        "a crawler that reads a public web server",
        (Talk(PEER, HOST, 443, times=150, every=5),),
        looks_like="syn_flood",
    ),
    Story(
        "many visitors of a public web server",
        (Talk(peers(100), HOST, (443, 80)),),
        looks_like="database_port_from_public",
    ),
    Story(
        "an office that opens its usual file shares",
        (Talk(HOST, hosts(6), 445, days=_KNOWN),),
        looks_like="east_west_admin",
    ),
    Story(
        "replication between databases",
        (Talk(HOST, hosts(3), 3306, times=60, every=120, is_one_connection=True),),
        looks_like="database_port_from_public",
    ),
    Story(
        "a cluster whose nodes talk to its control plane",
        (
            Talk(hosts(20), HOST, 6443, times=40),
            Talk(HOST, hosts(20), 10_250, times=40),
        ),
        looks_like="orchestration_port_from_public",
    ),
    Story(
        "a password that is mistyped",
        (Talk(HOST, hosts(1), 22, LOGIN, times=4), Talk(HOST, hosts(1), 22, after=300)),
        looks_like="ssh_brute_force",
    ),
    Story(
        "some skipped records of a busy interface",
        skipped=3,
        looks_like="records_skipped",
    ),
)
STORIES = (*CAMPAIGNS, *LOOK_ALIKES)
