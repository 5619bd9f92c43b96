"""Entry point of ``memmcp-trade``."""


def main() -> None:
    from trading.cli import app

    app()


if __name__ == "__main__":
    main()
