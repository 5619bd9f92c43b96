"""Langfuse and any other receiver of OpenTelemetry's traces (OTLP over HTTP)."""
