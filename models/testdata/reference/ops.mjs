// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Runs one small graph for each operation that the converter supports, and writes graph, input and output to
// internal/convert/testdata. The tests there convert the graphs and compare. To repeat: npm ci && npm run ops

import fs from 'node:fs';
import * as tf from '@tensorflow/tfjs';

await tf.setBackend('cpu');
const target = new URL('../../internal/convert/testdata/', import.meta.url);

// GraphDef as JSON writes strings as base64 and 64-bit integers as strings.
const text = (s) => Buffer.from(s).toString('base64');
const str = (s) => ({s: text(s)});
const strs = (...s) => ({list: {s: s.map(text)}});
const ints = (...i) => ({list: {i: i.map(String)}});
const yes = {b: true}, no = {b: false};
const float = (f) => ({f});
const spread = (n, scale = 1) => Float32Array.from({length: n}, (_, i) => scale * Math.fround(Math.sin(1.7 * i + 0.3)));

// Constants: c(shape) has float values, i(values) and f(value) have just those.
const c = (shape, scale) => ({shape, dtype: 'float32', data: spread(shape.reduce((a, b) => a * b, 1), scale)});
const i = (values) => ({shape: Array.isArray(values) ? (Array.isArray(values[0]) ? [values.length, 2] : [values.length]) : [], dtype: 'int32', data: Int32Array.from([values].flat(2))});
const f = (value) => ({shape: [], dtype: 'float32', data: Float32Array.of(value)});

const window = (padding, stride = 1, more = {}) => ({padding: str(padding), strides: ints(1, stride, stride, 1), dilations: ints(1, 1, 1, 1), data_format: str('NHWC'), ...more});
const pool = (padding, size, stride) => ({padding: str(padding), ksize: ints(1, size, size, 1), strides: ints(1, stride, stride, 1)});
const fused = (...ops) => ({fused_ops: strs(...ops), num_args: {i: '1'}});
const resize = (half, align = false) => ({half_pixel_centers: {b: half}, align_corners: {b: align}});
const lowest = -3.4028234663852886e38;
const conv1 = ['Conv2D', ['x', c([1, 1, 3, 4])], window('SAME')]; // its result is NCHW

// Each case: the input's shape, then nodes as [op, inputs, attributes]. Inputs are constants, x (the graph's input) or n0,
// n1, ... (earlier nodes). The last node is the output.
const cases = {
  conv_same: [[1, 6, 5, 3], ['Conv2D', ['x', c([3, 3, 3, 4])], window('SAME')]],
  conv_same_stride: [[1, 6, 8, 3], ['Conv2D', ['x', c([3, 3, 3, 4])], window('SAME', 2)]],
  conv_same_stride_5x5: [[1, 8, 6, 2], ['Conv2D', ['x', c([5, 5, 2, 3])], window('SAME', 2)]],
  conv_valid_stride: [[1, 7, 8, 3], ['Conv2D', ['x', c([3, 2, 3, 4])], window('VALID', 2)]],
  conv_dilated: [[1, 9, 8, 2], ['Conv2D', ['x', c([3, 3, 2, 3])], window('SAME', 1, {dilations: ints(1, 2, 2, 1)})]],
  conv_fused_bias: [[1, 4, 4, 3], ['_FusedConv2D', ['x', c([3, 3, 3, 4]), c([4])], window('SAME', 1, fused('BiasAdd'))]],
  conv_fused_relu: [[1, 4, 4, 3], ['_FusedConv2D', ['x', c([3, 3, 3, 4]), c([4])], window('SAME', 1, fused('BiasAdd', 'Relu'))]],
  conv_fused_relu6: [[1, 4, 4, 3], ['_FusedConv2D', ['x', c([3, 3, 3, 4], 5), c([4])], window('SAME', 1, fused('BiasAdd', 'Relu6'))]],
  conv_fused_leaky_relu: [[1, 4, 4, 3], ['_FusedConv2D', ['x', c([3, 3, 3, 4]), c([4])], window('VALID', 1, {...fused('BiasAdd', 'LeakyRelu'), leakyrelu_alpha: float(0.3)})]],
  conv_fused_sigmoid: [[1, 4, 4, 3], ['_FusedConv2D', ['x', c([1, 1, 3, 4]), c([4])], window('SAME', 1, fused('BiasAdd', 'Sigmoid'))]],
  conv_padded: [[1, 6, 6, 3], ['Pad', ['x', i([[0, 0], [1, 2], [2, 1], [0, 0]])]], ['Conv2D', ['n0', c([3, 3, 3, 2])], window('VALID', 2)]],
  conv_padded_otherwise: [[1, 4, 4, 3], ['PadV2', ['x', i([[0, 0], [1, 1], [1, 1], [0, 0]]), f(7)]], ['Conv2D', ['n0', c([3, 3, 3, 2])], window('VALID')]],
  conv_padded_nchw: [[1, 3, 6, 6], ['Pad', ['x', i([[0, 0], [0, 0], [1, 1], [2, 1]])]], ['Transpose', ['n0', i([0, 2, 3, 1])]], ['Conv2D', ['n1', c([3, 3, 3, 2])], window('VALID', 2)], ['Transpose', ['n2', i([0, 3, 1, 2])]], ['Relu', ['n3']]],
  depthwise: [[1, 6, 6, 3], ['DepthwiseConv2dNative', ['x', c([3, 3, 3, 1])], window('SAME', 2)]],
  depthwise_multiplied: [[1, 5, 5, 3], ['DepthwiseConv2dNative', ['x', c([3, 3, 3, 2])], window('VALID')]],
  depthwise_fused: [[1, 6, 6, 3], ['FusedDepthwiseConv2dNative', ['x', c([3, 3, 3, 1], 4), c([3])], window('SAME', 1, fused('BiasAdd', 'Relu6'))]],
  transposed_conv: [[1, 4, 3, 2], ['Conv2DBackpropInput', [i([1, 8, 6, 3]), c([2, 2, 3, 2]), 'x'], window('SAME', 2)]],
  transposed_conv_3x3: [[1, 4, 3, 2], ['Conv2DBackpropInput', [i([1, 8, 6, 3]), c([3, 3, 3, 2]), 'x'], window('SAME', 2)]],
  max_pool_same: [[1, 6, 8, 2], ['MaxPool', ['x'], pool('SAME', 3, 2)]],
  max_pool_padded: [[1, 6, 6, 2], ['PadV2', ['x', i([[0, 0], [1, 1], [1, 1], [0, 0]]), f(lowest)]], ['MaxPool', ['n0'], pool('VALID', 3, 2)]],
  max_pool_padded_zero: [[1, 6, 6, 2], ['Pad', ['x', i([[0, 0], [1, 1], [1, 1], [0, 0]])]], ['MaxPool', ['n0'], pool('VALID', 3, 2)]],
  avg_pool_valid: [[1, 6, 6, 2], ['AvgPool', ['x'], pool('VALID', 2, 2)]],
  avg_pool_same: [[1, 6, 6, 2], ['AvgPool', ['x'], pool('SAME', 3, 1)]],
  avg_pool_global: [[1, 6, 6, 2], ['AvgPool', ['x'], pool('VALID', 6, 6)]],
  mean: [[1, 5, 4, 3], ['Mean', ['x', i([1, 2])], {keep_dims: yes}]],
  resize_half_pixel: [[1, 3, 4, 2], ['ResizeBilinear', ['x', i([6, 8])], resize(true)]],
  resize_asymmetric: [[1, 3, 4, 2], ['ResizeBilinear', ['x', i([6, 8])], resize(false)]],
  resize_aligned: [[1, 3, 4, 2], ['ResizeBilinear', ['x', i([6, 8])], resize(false, true)]],
  resize_down: [[1, 6, 8, 2], ['ResizeBilinear', ['x', i([3, 4])], resize(true)]],
  pad: [[1, 3, 3, 2], ['Pad', ['x', i([[0, 0], [1, 0], [0, 2], [1, 1]])]], ['Relu', ['n0']]],
  pad_after_conv: [[1, 3, 3, 3], conv1, ['Pad', ['n0', i([[0, 0], [1, 0], [0, 2], [1, 1]])]]],
  pad_of_pad: [[1, 3, 3, 2], ['Pad', ['x', i([[0, 0], [1, 0], [0, 2], [0, 0]])]], ['PadV2', ['n0', i([[0, 0], [1, 1], [1, 1], [0, 0]]), f(2)]]],
  transpose_otherwise: [[1, 3, 4, 3], conv1, ['Transpose', ['n0', i([0, 2, 1, 3])]]],
  transpose_there_and_back: [[1, 3, 4, 3], conv1, ['Transpose', ['n0', i([0, 3, 1, 2])]], ['Transpose', ['n1', i([0, 2, 3, 1])]]],
  transpose_to_nchw: [[1, 3, 4, 3], ['Transpose', ['x', i([0, 3, 1, 2])]], ['Tanh', ['n0']]],
  concat_channels: [[1, 3, 4, 3], conv1, ['ConcatV2', ['n0', 'x', 'n0', i(3)], {N: {i: '3'}}]],
  concat_rows: [[1, 3, 4, 3], conv1, ['ConcatV2', ['n0', 'n0', i(-3)], {N: {i: '2'}}]],
  concat_logical: [[1, 3, 4, 3], ['ConcatV2', ['x', 'x', i(1)], {N: {i: '2'}}]],
  add_vector: [[1, 3, 4, 3], conv1, ['Add', ['n0', c([4])]]],
  add_scalar: [[1, 3, 4, 3], conv1, ['AddV2', [f(2), 'n0']]],
  add_layouts: [[1, 3, 4, 4], ['Conv2D', ['x', c([1, 1, 4, 4])], window('SAME')], ['AddV2', ['n0', 'x']]],
  add_pixels: [[1, 3, 4, 3], conv1, ['Add', ['n0', c([3, 4, 1])]]],
  add_logical: [[1, 3, 4, 3], ['Add', ['x', c([3])]]],
  bias_add: [[1, 3, 4, 3], conv1, ['BiasAdd', ['n0', c([4])]]],
  add_n: [[1, 3, 4, 3], conv1, ['AddN', ['n0', 'n0', 'n0'], {N: {i: '3'}}]],
  sub: [[1, 3, 4, 3], conv1, ['Sub', [c([4]), 'n0']]],
  mul_excite: [[1, 3, 4, 3], conv1, ['Mean', ['n0', i([1, 2])], {keep_dims: yes}], ['Mul', ['n0', 'n1']]],
  div: [[1, 3, 4, 3], conv1, ['RealDiv', ['n0', c([4], 3)]]],
  maximum: [[1, 3, 4, 3], conv1, ['Maximum', ['n0', f(0.1)]]],
  minimum: [[1, 3, 4, 3], conv1, ['Minimum', ['n0', c([4])]]],
  relu: [[1, 3, 4, 3], ['Relu', ['x']]],
  relu6: [[1, 3, 4, 3], ['Mul', ['x', f(9)]], ['Relu6', ['n0']]],
  leaky_relu: [[1, 3, 4, 3], conv1, ['LeakyRelu', ['n0'], {alpha: float(0.1)}]],
  sigmoid: [[1, 3, 4, 3], conv1, ['Sigmoid', ['n0']]],
  tanh: [[1, 3, 4, 3], conv1, ['Tanh', ['n0']]],
  identity: [[1, 3, 4, 3], conv1, ['Identity', ['n0']]],
  hard_sigmoid: [[1, 4, 4, 3], ['Mul', ['x', f(5)]], ['AddV2', ['n0', f(3)]], ['Relu6', ['n1']], ['Mul', [f(1 / 6), 'n2']]],
  hard_swish: [[1, 4, 4, 3], ['Mul', ['x', f(5)]], ['Mul', [f(1 / 6), 'n0']], ['Add', ['n0', f(3)]], ['Relu6', ['n2']], ['Mul', ['n1', 'n3']]],
  no_hard_swish: [[1, 4, 4, 3], ['Mul', ['x', f(5)]], ['Mul', [f(1 / 6), 'x']], ['Add', ['n0', f(3)]], ['Relu6', ['n2']], ['Mul', ['n1', 'n3']]],
};

fs.rmSync(target, {recursive: true, force: true});
fs.mkdirSync(target, {recursive: true});
for (const [name, [shape, ...steps]] of Object.entries(cases)) {
  const node = [{name: 'x', op: 'Placeholder', attr: {dtype: {type: 'DT_FLOAT'}, shape: {shape: {dim: shape.map((d) => ({size: String(d)}))}}}}];
  const weights = [], data = [];
  steps.forEach(([op, inputs, attr = {}], n) => {
    const names = inputs.map((input, k) => {
      if (typeof input === 'string') return input;
      const constant = `n${n}/c${k}`;
      node.push({name: constant, op: 'Const', attr: {dtype: {type: input.dtype === 'int32' ? 'DT_INT32' : 'DT_FLOAT'}}});
      weights.push({name: constant, shape: input.shape, dtype: input.dtype});
      data.push(Buffer.from(input.data.buffer));
      return constant;
    });
    node.push({name: `n${n}`, op, input: names, attr});
  });
  const weightData = Buffer.concat(data);
  const model = await tf.loadGraphModel(tf.io.fromMemory({modelTopology: {node, versions: {producer: 1, minConsumer: 1}}, weightSpecs: weights, weightData: Uint8Array.from(weightData).buffer}));
  const input = spread(shape.reduce((a, b) => a * b, 1));
  const output = model.execute(tf.tensor(input, shape), `n${steps.length - 1}`);
  fs.writeFileSync(new URL(`${name}.json`, target), JSON.stringify({
    model: {modelTopology: {node, versions: {producer: 1, minConsumer: 1}}, weightsManifest: [{paths: ['weights.bin'], weights}]},
    weights: weightData.toString('base64'),
    input: {shape, values: Array.from(input, (v) => Number(v.toPrecision(9)))},
    output: {shape: output.shape, values: Array.from(output.dataSync(), (v) => Number(v.toPrecision(9)))},
  }) + '\n');
}
console.log(`${Object.keys(cases).length} operations`);
