// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/onnxtest"
)

// converted are the models that the converter produces.
var converted = []string{"nanodet-m", "nanodet-m-screens", "centernet", "movenet-lightning", "movenet-thunder",
	"movenet-multipose", "blazeface", "facemesh-detection-full", "selfie-segmentation"}

// reference is a file in testdata/reference, written by reference.mjs in that directory.
type reference struct {
	Model   string `json:"model"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Outputs map[string]struct {
		Shape  []int64   `json:"shape"`
		Every  int       `json:"every"` // Values has every n-th value of the output
		Values []float32 `json:"values"`
	} `json:"outputs"`
}

// TestReference compares the outputs of the converted models with those of the published models in TensorFlow.js.
func TestReference(t *testing.T) {
	onnxtest.Fetch(t, converted...)
	files, err := filepath.Glob("testdata/reference/*x*.json")
	if err != nil {
		t.Fatal(err)
	}
	var compared []string
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			var want reference
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			compared = append(compared, want.Model)
			session := onnxtest.NewSession(t, content(t, want.Model))
			shape := []int64{1, int64(want.Height), int64(want.Width), 3}
			got := onnxtest.Run(t, session, shape, testImage(want.Width, want.Height, 1))
			for name, output := range want.Outputs {
				if !slices.Equal(got[name].Shape, output.Shape) {
					t.Fatalf("%s: got shape %v, want %v", name, got[name].Shape, output.Shape)
				}
				var kept []float32
				for i := 0; i < len(got[name].Values); i += output.Every {
					kept = append(kept, got[name].Values[i])
				}
				onnxtest.Close(t, name, kept, output.Values, 1e-3)
				if slices.Max(output.Values) < 0.01 {
					t.Errorf("%s: the reference is almost zero everywhere, so the comparison proves nothing", name)
				}
			}
		})
	}
	for _, name := range converted {
		if !slices.Contains(compared, name) {
			t.Errorf("%s has no reference", name)
		}
	}
}

// TestBatch checks that a batch gives the same results as its images processed one by one.
func TestBatch(t *testing.T) {
	onnxtest.Fetch(t, converted...)
	sizes := map[string][][2]int{ // width, height
		"nanodet-m":               {{416, 256}, {416, 416}, {96, 160}, {32, 32}},
		"nanodet-m-screens":       {{640, 480}},
		"centernet":               {{512, 288}, {128, 64}},
		"movenet-lightning":       {{192, 192}},
		"movenet-thunder":         {{256, 256}},
		"movenet-multipose":       {{512, 288}, {256, 256}, {32, 96}},
		"selfie-segmentation":     {{256, 256}},
		"blazeface":               {{256, 256}},
		"facemesh-detection-full": {{320, 192}, {192, 192}, {96, 32}},
	}
	for name, sizes := range sizes {
		session := onnxtest.NewSession(t, content(t, name))
		for _, size := range sizes {
			width, height := size[0], size[1]
			var pixels []uint8
			single := map[string][]float32{}
			for n := 1; n <= 4; n++ {
				p := testImage(width, height, n)
				pixels = append(pixels, p...)
				for output, tensor := range onnxtest.Run(t, session, []int64{1, int64(height), int64(width), 3}, p) {
					single[output] = append(single[output], tensor.Values...)
				}
				if n == 2 {
					continue
				}
				t.Run(fmt.Sprintf("%s_%dx%d_batch_%d", name, width, height, n), func(t *testing.T) {
					for output, tensor := range onnxtest.Run(t, session,
						[]int64{int64(n), int64(height), int64(width), 3}, pixels) {
						if tensor.Shape[0] != int64(n) {
							t.Errorf("%s: got shape %v, want a batch of %d", output, tensor.Shape, n)
						}
						onnxtest.Close(t, output, tensor.Values, single[output], 1e-5)
					}
				})
			}
		}
	}
}

// TestContract checks that the model files have the inputs and outputs listed in the catalog.
func TestContract(t *testing.T) {
	onnxtest.Fetch(t, converted...)
	for _, name := range converted {
		t.Run(name, func(t *testing.T) {
			m := lookup(t, name)
			session := onnxtest.NewSession(t, content(t, name))
			var got, want []string
			for _, info := range append(slices.Clone(session.Inputs), session.Outputs...) {
				got = append(got, fmt.Sprintf("%s %s %v", info.Name, typeNames[info.DataType], info.Dimensions))
			}
			for _, tensor := range append(slices.Clone(m.Inputs), m.Outputs...) {
				dims := make([]int64, len(tensor.Shape))
				for i, d := range tensor.Shape {
					dims[i] = d.Size
				}
				want = append(want, fmt.Sprintf("%s %s %v", tensor.Name, tensor.Type, dims))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

var typeNames = map[ort.TensorElementDataType]string{
	ort.TensorElementDataTypeUint8: "uint8", ort.TensorElementDataTypeInt64: "int64",
	ort.TensorElementDataTypeFloat: "float32",
}

// Benchmark measures runs on one thread at the default input size: of a single image, and of a batch of four copies. It
// reports the fastest run of each, since other processes can only slow a run down, and their ratio.
func Benchmark(b *testing.B) {
	onnxtest.Fetch(b, converted...)
	const n = 4
	for _, name := range converted {
		size := lookup(b, name).InputSize
		session := onnxtest.NewSession(b, content(b, name))
		one := testImage(size.Width, size.Height, 1)
		batch := slices.Repeat(one, n)
		b.Run(fmt.Sprintf("%s/%dx%d", name, size.Width, size.Height), func(b *testing.B) {
			time := func(batch int, pixels []uint8) time.Duration {
				start := time.Now()
				onnxtest.Run(b, session, []int64{int64(batch), int64(size.Height), int64(size.Width), 3}, pixels)
				return time.Since(start)
			}
			alone, together := time(1, one), time(n, batch)
			for b.Loop() {
				alone, together = min(alone, time(1, one)), min(together, time(n, batch))
			}
			b.ReportMetric(alone.Seconds()*1e3, "ms/image")
			b.ReportMetric(together.Seconds()/(n*alone.Seconds()), "batch/alone")
		})
	}
}

func lookup(tb testing.TB, name string) models.Model {
	tb.Helper()
	catalog, err := models.Load()
	if err != nil {
		tb.Fatal(err)
	}
	m, err := catalog.Lookup(name)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func content(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(lookup(tb, name).Path(onnxtest.Dir()))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// testImage returns the same uint8 RGB pixels as testImage in testdata/reference/reference.mjs: noise of several sizes,
// from a hash, with a crude bust in front, so that the models detect something.
func testImage(width, height, seed int) []uint8 {
	hash := func(x, y, c int) int {
		h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca6b ^ uint32(c+9*seed)*0xc2b2ae35
		h = (h ^ h>>15) * 0x2c1b3c6d
		return int(h >> 13 & 255)
	}
	noise := func(x, y, c, cell int) int {
		ix, iy, fx, fy := x/cell, y/cell, x%cell, y%cell
		top := hash(ix, iy, c)*(cell-fx) + hash(ix+1, iy, c)*fx
		bottom := hash(ix, iy+1, c)*(cell-fx) + hash(ix+1, iy+1, c)*fx
		return (top*(cell-fy) + bottom*fy) / (cell * cell)
	}
	pixels := make([]uint8, 0, width*height*3)
	for y := range height {
		for x := range width {
			u, v := 1000*x/width, 1000*y/height
			var hit *ellipse
			for i := range bust {
				if bust[i].covers(u, v) {
					hit = &bust[i]
				}
			}
			for c := range 3 {
				value := (noise(x, y, c, 64) + noise(x, y, c+3, 16) + noise(x, y, c+6, 4)) / 3
				if hit != nil {
					value = hit.color[c] + value>>4
				}
				pixels = append(pixels, uint8(value))
			}
		}
	}
	return pixels
}

// ellipse is an ellipse in thousandths of the image size. The last ellipse that covers a pixel paints it.
type ellipse struct {
	x, y, rx, ry int
	color        [3]int
}

func (e ellipse) covers(x, y int) bool {
	dx, dy := x-e.x, y-e.y
	return dx*dx*e.ry*e.ry+dy*dy*e.rx*e.rx < e.rx*e.rx*e.ry*e.ry
}

var bust = []ellipse{
	{500, 1100, 330, 420, [3]int{40, 60, 120}}, {500, 640, 80, 140, [3]int{190, 140, 115}},
	{500, 380, 150, 250, [3]int{60, 40, 30}}, {500, 430, 130, 210, [3]int{205, 155, 130}},
	{450, 390, 22, 14, [3]int{240, 240, 240}}, {550, 390, 22, 14, [3]int{240, 240, 240}},
	{450, 390, 10, 13, [3]int{40, 25, 20}}, {550, 390, 10, 13, [3]int{40, 25, 20}},
	{500, 460, 18, 45, [3]int{185, 130, 105}}, {500, 550, 50, 16, [3]int{150, 60, 60}},
}
