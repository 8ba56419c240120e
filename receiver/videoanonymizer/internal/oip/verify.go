// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// metadata is a server's description of a model.
type metadata struct {
	versions        []string
	inputs, outputs []tensorMetadata
}

type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// maxDifference limits how far a server's answer to the known tensor may be from the reference's: the norm of the
// difference, relative to the norm of the reference's answer. It allows for hardware that computes in a different order
// or with fewer bits. With 1 % of nanodet-m's weights exchanged, anywhere in the file, the scores always differed by at
// least 1.
const maxDifference = 0.05

// prepare creates the known tensor and computes the reference's answer.
func (s *Session) prepare(ctx context.Context) error {
	s.inputs, s.outputs = s.Model.Reference.Inputs(), s.Model.Reference.Outputs()
	for _, t := range slices.Concat(s.inputs, s.outputs) {
		if datatypes[t.Type] == "" || len(t.Shape) == 0 {
			return fmt.Errorf("%v cannot be sent to a server", t)
		}
	}
	s.known = request{session: s, inputs: knownTensors(s.inputs, max(1, s.Model.MaxBatch))}
	return s.Model.Reference.Run(ctx, s.known.inputs, func(outputs []inference.Tensor) error {
		for _, out := range outputs {
			s.known.shapes = append(s.known.shapes, slices.Clone(out.Shape))
			s.want = append(s.want, inference.Tensor{
				Uint8: slices.Clone(out.Uint8), Int64: slices.Clone(out.Int64), Float32: slices.Clone(out.Float32),
			})
		}
		return nil
	})
}

// Sides of the known tensor that a model leaves open: the first one, and the following ones. Models require multiples
// of 32.
const knownFirst, knownOther = 192, 320

// knownTensors returns inputs that are always the same: a gradient with noise, and masks of ones.
func knownTensors(infos []inference.TensorInfo, batch int) []inference.Tensor {
	var all []inference.Tensor
	for _, info := range infos {
		shape := slices.Clone(info.Shape)
		open := []int64{int64(batch), knownFirst, knownOther}
		for i, n := range shape {
			if i == 0 && n > 0 {
				open = open[1:]
			} else if n < 0 {
				shape[i] = open[0]
				open = open[min(1, len(open)-1):]
			}
		}
		n := elements(shape)
		t := inference.Tensor{Shape: shape}
		switch info.Type {
		case "int64":
			t.Int64 = slices.Repeat([]int64{1}, int(n))
		case "uint8":
			t.Uint8 = make([]uint8, n)
			for i := range t.Uint8 {
				t.Uint8[i] = knownByte(i, int(n))
			}
		default:
			t.Float32 = make([]float32, n)
			for i := range t.Float32 {
				t.Float32[i] = (float32(knownByte(i, int(n))) - 128) / 64
			}
		}
		all = append(all, t)
	}
	return all
}

// knownByte is a gradient from 0 to 191 with noise of up to 63.
func knownByte(i, n int) uint8 {
	noise := uint32(i) * 2654435761 // Knuth's multiplicative hash
	return uint8(192*i/n) + uint8(noise>>26)
}

// identify checks that a server serves the model, and returns the identity of what it serves.
func (s *Session) identify(ctx context.Context, server transport) (Identity, error) {
	meta, err := server.modelMetadata(ctx, s.Model.Name)
	if err != nil {
		return Identity{}, err
	}
	if err := errors.Join(s.agrees("input", s.inputs, meta.inputs),
		s.agrees("output", s.outputs, meta.outputs)); err != nil {
		return Identity{}, fmt.Errorf("%w: the server has a different one with this name: %w", inference.ErrModel, err)
	}
	id := Identity{Version: newest(meta.versions)}
	if err := server.modelReady(ctx, s.Model.Name, id.Version); err != nil {
		return Identity{}, err
	}
	given, err := server.infer(ctx, &s.known, id.Version)
	if err != nil {
		return Identity{}, err
	}
	outputs, err := s.known.accept(given)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: the answer to a known tensor: %w", inference.ErrModel, err)
	}
	for i := range outputs {
		if d := difference(&outputs[i], &s.want[i]); !(d <= maxDifference) {
			return Identity{}, fmt.Errorf("%w: the server has a different one with this name, or a different version of it: "+
				"its answer to a known tensor is not that of %s, but differs by %.2g in output %s (%.2g at most)",
				inference.ErrModel, s.Name(), d, s.outputs[i].Name, maxDifference)
		}
	}
	id.Answer = s.answer(outputs)
	return id, nil
}

// answerSeen is a previous answer to the known tensor.
type answerSeen struct {
	outputs []inference.Tensor
	sum     string
}

const (
	// maxRounding limits the difference of two answers of the same model, relative as above: a GPU may add in a different
	// order each time. Different number types or weights cause larger differences.
	maxRounding = 1e-4
	// maxAnswers limits the answers that are kept. Any further ones are identified by their own digests.
	maxAnswers = 16
)

// answer returns the SHA-256 of the first answer that differs only by rounding.
func (s *Session) answer(outputs []inference.Tensor) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seen := range s.answers {
		same := true
		for i := range outputs {
			same = same && difference(&outputs[i], &seen.outputs[i]) <= maxRounding
		}
		if same {
			return seen.sum
		}
	}
	hash := sha256.New()
	for i := range outputs {
		_, _ = fmt.Fprintf(hash, "%s %v\n", s.outputs[i].Name, outputs[i].Shape)
		_, _ = hash.Write(encode(&outputs[i]))
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if len(s.answers) < maxAnswers {
		s.answers = append(s.answers, answerSeen{outputs, sum})
	}
	return sum
}

// agrees compares a server's description of inputs or outputs with the model's own. A side that is open in one of them
// matches any length.
func (s *Session) agrees(what string, want []inference.TensorInfo, got []tensorMetadata) error {
	if len(got) != len(want) {
		return fmt.Errorf("it has %d %ss, want %d", len(got), what, len(want))
	}
	for _, w := range want {
		at := slices.IndexFunc(got, func(g tensorMetadata) bool { return g.Name == w.Name })
		if at < 0 {
			return fmt.Errorf("it has no %s %s", what, w.Name)
		}
		fits := func(g, w int64) bool { return g == w || g < 0 || w < 0 }
		if g := got[at]; g.Datatype != datatypes[w.Type] || !slices.EqualFunc(g.Shape, w.Shape, fits) {
			return fmt.Errorf("its %s %s is %s%v, want %s%v", what, w.Name, g.Datatype, g.Shape, datatypes[w.Type], w.Shape)
		}
	}
	return nil
}

// newest returns the version with the largest number, or an empty string if the server has no versions.
func newest(versions []string) string {
	if len(versions) == 0 {
		return ""
	}
	return slices.MaxFunc(versions, func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a, b)
	})
}

// difference returns the norm of the difference of two tensors with the same number of elements, relative to the norm
// of want.
func difference(got, want *inference.Tensor) float64 {
	var apart, size float64
	add := func(g, w float64) { apart, size = apart+(g-w)*(g-w), size+w*w }
	for i := range want.Uint8 {
		add(float64(got.Uint8[i]), float64(want.Uint8[i]))
	}
	for i := range want.Int64 {
		add(float64(got.Int64[i]), float64(want.Int64[i]))
	}
	for i := range want.Float32 {
		add(float64(got.Float32[i]), float64(want.Float32[i]))
	}
	if apart == 0 {
		return 0
	}
	return math.Sqrt(apart / size)
}
