// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// The maximum sizes of the batches that Triton makes of waiting requests. Images of people are small.
	tritonPeople, tritonFrames = 64, 8
	// tritonQueueDelay is how long Triton delays a request so that others can join its batch, in microseconds. This is
	// short compared to an inference.
	tritonQueueDelay = 1000
)

// WriteTriton creates a Triton model repository in out from the models installed in dir, and returns their names. It
// replaces the result of an earlier call.
func (c *Catalog) WriteTriton(dir, out string) (names []string, err error) {
	for _, m := range c.Models {
		err := m.Verify(m.Path(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = m.writeTriton(dir, filepath.Join(out, m.Name))
		}
		if err != nil {
			return names, fmt.Errorf("%s: %w", m.Name, err)
		}
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no model is installed in %s", dir)
	}
	return names, nil
}

func (m Model) writeTriton(dir, out string) error {
	const version = "1"
	if err := os.MkdirAll(filepath.Join(out, version), 0o755); err != nil {
		return err
	}
	if err := copyFile(m.Path(dir), filepath.Join(out, version, "model.onnx")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "config.pbtxt"), []byte(m.tritonConfig()), 0o644)
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}

// tritonConfig returns the model's config.pbtxt. If the model has inputs or outputs that some exports lack, the file
// lists none, and Triton determines them itself.
func (m Model) tritonConfig() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Made from the catalog by `make models TRITON=...`\nname: %q\nbackend: \"onnxruntime\"\n", m.Name)
	batch := m.tritonBatch()
	if batch > 0 {
		fmt.Fprintf(&text, "max_batch_size: %d\ndynamic_batching { max_queue_delay_microseconds: %d }\n",
			batch, tritonQueueDelay)
	}
	for _, list := range [][]Tensor{m.Inputs, m.Outputs} {
		for _, t := range list {
			if t.Optional {
				return text.String()
			}
		}
	}
	for _, t := range m.Inputs {
		text.WriteString("input { " + t.triton(batch > 0) + " }\n")
	}
	for _, t := range m.Outputs {
		text.WriteString("output { " + t.triton(batch > 0) + " }\n")
	}
	return text.String()
}

// tritonBatch returns the maximum batch size, or 0 for a model that does not support batches.
func (m Model) tritonBatch() int {
	for _, list := range [][]Tensor{m.Inputs, m.Outputs} {
		for _, t := range list {
			if len(t.Shape) == 0 || !t.Shape[0].Free() {
				return 0
			}
		}
	}
	if m.Task == PoseEstimation || m.Task == Segmentation {
		return tritonPeople
	}
	return tritonFrames
}

// triton describes a tensor in the format of config.pbtxt, in which the batch is not a dimension.
func (t Tensor) triton(batched bool) string {
	kind := map[string]string{"uint8": "TYPE_UINT8", "int64": "TYPE_INT64", "float32": "TYPE_FP32"}[t.Type]
	shape := t.Shape
	if batched {
		shape = shape[1:]
	}
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = fmt.Sprint(d.Size)
	}
	return fmt.Sprintf("name: %q data_type: %s dims: [ %s ]", t.Name, kind, strings.Join(dims, ", "))
}
