"""Valid documents that the hostile ones are made from; small, so that most changes hit something that matters."""

from __future__ import annotations

CALENDAR = """\
name = "small"
description = "two catalysts"
extra_kinds = ["rumour"]

[[catalyst]]
id = "zec-relaunch"
assets = ["ZEC"]
kind = "trust_relaunch"
actor = "Grayscale"
direction = 1
announced_at = 2025-10-01
precision = "day"
source = "article"
confidence = "medium"
confounded_with = ["zec-rumour"]

[[catalyst]]
id = "zec-rumour"
assets = ["ZEC", "DASH"]
kind = "rumour"
actor = "somebody"
direction = -1
announced_at = 2025-10-01T14:30:00+02:00
precision = "minute"
effective_at = "2025-11-07T00:00:00Z"
source = "article"
confidence = "low"

[[catalyst]]
id = "zec-call"
assets = ["ZEC"]
kind = "influencer_call"
actor = "somebody else"
direction = 0
precision = "untimed"
between = ["2025-10-01", "2025-10-15"]
source = "article"
confidence = "high"
note = "undated"
"""
CLAIMS = """\
name = "small"
description = "figures"
source = "article"

[[claim]]
id = "zec.move"
says = "ZEC rose by a fifth"
subject = "ZEC"
claimed = 0.22
unit = "share"
measure = "move('ZEC', '2025-10-01', '2025-10-02')"
tolerance = 0.05

[[claim]]
id = "zec.span"
says = "in forty days"
subject = "ZEC"
claimed = 40
unit = "days"
measure = "days_low_to_high('ZEC', '2025-10-01', last='2025-10-02') + 1"
implied = "days('2025-10-23', '2025-11-07') * 2"
sense = "at_least"

[[claim]]
id = "zec.turnover"
says = "a billion"
subject = "ZEC"
claimed = 1.2e9
unit = "USD"
measure = "max(turnover('ZEC', '2025-10-01', kind='all') / 2, mean(1, 2), abs(-3))"
total = true
"""
RECIPE = """\
name = "small"
description = "one coin"
symbols = ["ZEC/USDT:USDT", "ZEC/USDT"]
series = ["ohlcv", "oi"]
timeframe = "1h"
timerange = "20250815-20251201"
unlisted = "skip"

[exchange]
id = "bybit"

[exchange.options]
timeout = 10000
options = { defaultType = "swap" }
"""
RUN = """\
capital = 50_000
fee_rate = 0.0004
half_spread = 0.0005
impact = 1.0
liquidity_window = "7d"
participation = 0.1
leverage = 2.0
funding_unknown = "zero"
in_position = "extend"
reaction = "5m"
max_wait = "24h"
stop_order = "optimistic"
seed = 7
"""
STUDY = """\
timeframe = "4h"
model = "market"
benchmarks = ["BTC"]
estimation = "14d"
minimum_estimation = 30
gap = "1d"
before = "2d"
after = ["1d", "3d"]
level = 0.95
draws = 500
seed = 3
groups = ["kind"]
assets = ["ZEC"]
"""
SPACE = """\
strategy = "catalyst_momentum"
search = "random"
trials = 20

[parameters]
hold = "24h..96h"
stop_loss = "0.05..0.3/0.05"
weight = [0.1, 0.2]
assets = "ZEC,DASH"
take_profit = 0.2
"""
BARS = """\
timestamp,open,high,low,close,volume
1759276800000,50.1,51.5,49.9,51.0,1200.5
1759280400000,51.0,51.2,50.0,50.5,900
1759284000000,50.5,50.6,50.1,50.2,
2025-10-01T03:00:00Z,50.2,52.25,50.2,52,1500.25
1759291200000000,52,52.5,51,51.5,10
"""
FUNDING = """\
timestamp,symbol,funding_rate
1759276800002,ZECUSDT,0.0001
1759305600000,ZECUSDT,-0.00025
2025-10-01T16:00:00+00:00,ZEC/USDT:USDT,
1759363200000,ZECUSDT,0.01
"""
OPEN_INTEREST = """\
timestamp,sum_open_interest,sum_open_interest_value
1759276800000,1000.5,50000
1759291200000,1100,
1759305600000,,61000.5
"""
SERIES = """\
available_at,value
2025-10-01T14:00Z,4000000
1759363200000,4.1e6
2025-10-03T00:00:00+02:00,
"""
KLINES = """\
open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore
1759276800000,50.1,51.5,49.9,51.0,1200.5,1759280399999,60000,100,600,30000,0
1759280400000,51.0,51.2,50.0,50.5,900,1759283999999,45000,90,400,20000,0
1759284000000000,50.5,50.6,50.1,50.2,100,1759287599999999,45000,90,400,20000,0
"""
METRICS = """\
create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio
2025-10-01 00:05:00,ZECUSDT,1000.5,50000.25,1.5
2025-10-01 00:10:00,ZECUSDT,1001.5,50010.25,1.5
2025-10-01 00:15:00,ZECUSDT,,,
"""
FUNDING_ARCHIVE = """\
1759276800002,8,0.0001
1759305600000,8,-0.00025
"""
EXCHANGE = '{"proxies": {"https": "http://127.0.0.1:3128"}, "timeout": 20000, "options": {"a": [1, 2.5, null, true]}}'
TEXTS = (
    *("90m", "1h", "3d", "0s", "20250901-20251116", "20250901-", "2025-09-01/2025-11-16T12:00Z", "hold=48h"),
    *("ZEC/USDT:USDT", "ZEC/USDT", "10000", "dates:5000", "shift", "coins", "0", "24h,48h,72h", "0.05..0.30/0.05"),
    *("24h..96h/24h", "0.1..0.9", "1..5", "24h..96h", "ohlcv,oi,funding", "catalyst_momentum", "mine.py:Mine", "true"),
    *("move('ZEC', '2025-10-01', '2025-10-02')", "1 + 2 * -3 / 4", "max(1, median(2, 3, 4), abs(-5))", "bybit"),
    *("days('2025-10-23', '2025-11-07')", "turnover('ZEC', '2025-10-01', kind='spot')", "A+B", "privacy-2025-sample"),
    *("Wed, 21 Oct 2026 07:28:00 GMT", "120", "tcp://127.0.0.1:1", "ZECUSDT-1h-2025-10.zip", "ZECUSDT-1h.csv"),
)
