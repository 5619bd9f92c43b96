"""The yardstick in NautilusTrader, run by its own environment: ``python nautilus_py.py walk.npz BARS``."""

import json
import resource
import sys
import time
from decimal import Decimal

import numpy as np
import pandas as pd
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

CASH = 1_000_000_000


class Config(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Crossover(Strategy):
    def __init__(self, config):
        super().__init__(config)
        self.fast, self.slow = SimpleMovingAverage(10), SimpleMovingAverage(50)
        self.above = None
        self.is_long = False

    def on_start(self):
        self.register_indicator_for_bars(self.config.bar_type, self.fast)
        self.register_indicator_for_bars(self.config.bar_type, self.slow)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar):
        if not self.slow.initialized:
            return
        above = self.fast.value > self.slow.value
        if self.above is not None and above != self.above and (above or self.is_long):
            side = OrderSide.BUY if above else OrderSide.SELL
            order = self.order_factory.market(self.config.instrument_id, side, Quantity.from_str("1.000000"))
            self.submit_order(order)
            self.is_long = above
        self.above = above


walk = np.load(sys.argv[1])
bars = int(sys.argv[2])
venue = Venue("SIM")
instrument = CurrencyPair(
    instrument_id=InstrumentId(Symbol("WALK"), venue),
    raw_symbol=Symbol("WALK"),
    base_currency=BTC,
    quote_currency=USDT,
    price_precision=2,
    size_precision=6,
    price_increment=Price.from_str("0.01"),
    size_increment=Quantity.from_str("0.000001"),
    margin_init=Decimal(0),
    margin_maint=Decimal(0),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    ts_event=0,
    ts_init=0,
)
bar_type = BarType.from_str("WALK.SIM-1-MINUTE-LAST-EXTERNAL")
frame = pd.DataFrame(
    {name: walk[f"{name}s"][:bars] for name in ("open", "high", "low", "close")} | {"volume": 1_000.0},
    index=pd.date_range("2023-01-01", periods=bars, freq="min", tz="UTC"),
)
data = BarDataWrangler(bar_type, instrument).process(frame)
engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
engine.add_venue(venue, OmsType.NETTING, AccountType.CASH, [Money(CASH, USDT)], base_currency=None)
engine.add_instrument(instrument)
engine.add_data(data)
engine.add_strategy(Crossover(Config(instrument_id=instrument.id, bar_type=bar_type)))
began = time.perf_counter()
engine.run()
seconds = time.perf_counter() - began
orders = len(engine.cache.orders_closed())
account = engine.cache.account_for_venue(venue)
print(
    json.dumps(
        {
            "seconds": seconds,
            "orders": orders,
            "profit": float(account.balance_total(USDT).as_double()) - CASH,
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)
