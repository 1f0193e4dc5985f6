# syntax=docker/dockerfile:1
# One image for every part: `docker run tocsin door`, `… worker`, `… migrate`.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/tocsin
WORKDIR /build
# Pins with hashes first: a change of the code does not fetch them again.
COPY requirements/cluster.txt requirements/
RUN pip --python /opt/tocsin/bin/python install --require-hashes --only-binary :all: -r requirements/cluster.txt
COPY . .
RUN pip --python /opt/tocsin/bin/python install --no-deps --no-build-isolation . \
    && pip --python /opt/tocsin/bin/python uninstall --yes setuptools

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Tocsin" org.opencontainers.image.licenses="Apache-2.0"
RUN pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/tocsin --shell /usr/sbin/nologin tocsin \
    && install -d -o tocsin -g tocsin -m 0711 /var/lib/tocsin /var/cache/tocsin
COPY --from=build /opt/tocsin /opt/tocsin
# What is compiled is kept in a volume: it fits the machine's CPU and takes a minute.
ENV PATH=/opt/tocsin/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/tocsin \
    TOCSIN_DATA=/var/lib/tocsin \
    TOCSIN_MQTT_HOST=0.0.0.0 \
    TOCSIN_HTTP_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/tocsin
VOLUME ["/var/lib/tocsin", "/var/cache/tocsin"]
EXPOSE 1883 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["tocsin"]
CMD ["--help"]
