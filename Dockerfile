# MaskFlownet on CPUs, on Linux: also for Apple silicon and Windows, through Docker or Podman.
#
#     docker build -t maskflownet .
#     docker run --rm -v "$PWD:/data" maskflownet flow --image_1 a.png --image_2 b.png
#
# MXNet 1.9.1 has wheels for x86-64 and for 64-bit ARM; the fast operators are for x86-64 alone.
FROM python:3.13-slim-trixie

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ libgl1 libglib2.0-0 libgomp1 libquadmath0 libstdc++6 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /maskflownet
COPY requirements.txt requirements-cpu.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -c constraints.txt \
    && pip install --no-cache-dir --no-deps -r requirements-cpu.txt
COPY . .
RUN python -m maskflownet.kernels

# What is written goes where the command is run: mount a folder there.
WORKDIR /data
ENTRYPOINT ["python", "/maskflownet/predict_new_data.py"]
