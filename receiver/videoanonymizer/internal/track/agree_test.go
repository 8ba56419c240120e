// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

func TestApart(t *testing.T) {
	at := func(x, y, r float32) mask.Head { return mask.Head{X: x, Y: y, RX: r, RY: r} }
	one, two := []mask.Head{at(10, 10, 5)}, []mask.Head{at(10, 10, 5), at(50, 10, 5)}
	tests := map[string]struct {
		a, b       []mask.Head
		moved      Vector
		gone, come []mask.Head
	}{
		"nobody":   {},
		"in place": {a: two, b: []mask.Head{at(50, 11, 5), at(11, 10, 5)}},
		"one came": {a: one, b: two, come: two[1:]},
		"one left": {a: two, b: one, gone: two[1:]},
		"one came, one left": {a: one, b: []mask.Head{at(90, 10, 5)}, gone: one,
			come: []mask.Head{at(90, 10, 5)}},
		"moved by a head": {a: one, b: []mask.Head{at(22, 10, 5)}, gone: one, come: []mask.Head{at(22, 10, 5)}},
		"grew":            {a: one, b: []mask.Head{at(10, 10, 9)}, gone: one, come: []mask.Head{at(10, 10, 9)}},
		"two at the same place": {a: two, b: []mask.Head{one[0], at(11, 10, 5)}, gone: two[1:],
			come: []mask.Head{at(11, 10, 5)}},
		"moved by the camera":    {a: one, b: []mask.Head{at(70, 40, 5)}, moved: Vector{60, 30}},
		"followed by the camera": {a: one, b: one, moved: Vector{60, 30}},
		"passed by the camera": {a: one, b: []mask.Head{at(40, 10, 5)}, moved: Vector{60, 30}, gone: one,
			come: []mask.Head{at(40, 10, 5)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			gone, come := Apart(tt.a, tt.b, tt.moved)
			assert.ElementsMatch(t, tt.gone, gone)
			assert.ElementsMatch(t, tt.come, come)
		})
	}
}

func TestUnknownHeads(t *testing.T) {
	at := func(x, r float32) mask.Head { return mask.Head{X: x, Y: 10, RX: r, RY: r} }
	known := []mask.Head{at(10, 5), at(100, 40)}
	assert.Empty(t, Unknown([]mask.Head{at(12, 5), at(130, 5)}, known), "the same, and within a larger one")
	assert.Equal(t, []mask.Head{at(40, 5)}, Unknown([]mask.Head{at(12, 5), at(40, 5)}, known))
}
