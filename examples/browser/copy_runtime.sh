#!/usr/bin/env bash
# Gets onnxruntime-web from npm and copies the three files of it that the page loads to ort/.
set -euo pipefail
cd "$(dirname "$0")"
[ -d node_modules/onnxruntime-web ] || npm install --no-save --silent onnxruntime-web@1.30.0
mkdir -p ort
cp node_modules/onnxruntime-web/dist/ort.wasm.min.mjs ort/
cp node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.{mjs,wasm} ort/
echo "$PWD/ort"
