# The command line with the embedded sample: docker run --rm IMAGE run -s catalyst_momentum
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN python -m pip install --no-cache-dir build==1.6.1 hatchling==1.33.0 \
    && python -m build --wheel --no-isolation --outdir /dist

FROM python:3.13-slim
RUN useradd --create-home --uid 1000 backtest
COPY requirements.lock /tmp/requirements.lock
COPY --from=build /dist /dist
RUN python -m pip install --no-cache-dir --requirement /tmp/requirements.lock \
    && python -m pip install --no-cache-dir --no-deps /dist/*.whl \
    && rm -rf /dist /tmp/requirements.lock
USER backtest
WORKDIR /home/backtest
ENTRYPOINT ["backtest"]
CMD ["--help"]
