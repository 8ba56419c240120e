// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"testing"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// TestGapIsNotFilledBySomeoneElse: what closes a gap is no larger than the smaller one of the two heads that leave it.
func TestGapIsNotFilledBySomeoneElse(t *testing.T) {
	small := mask.Head{X: 300, Y: 300, RX: 40, RY: 50, Origin: mask.OriginPose}
	large := mask.Head{X: 420, Y: 350, RX: 160, RY: 200, Origin: mask.OriginPose}
	added := closeGaps([]mask.Head{small}, nil, []mask.Head{large})
	if len(added) != 1 || uncovered(small, large, added) {
		t.Fatalf("the gap is not closed: %+v", added)
	}
	if size(added[0]) > gapSize*size(small) {
		t.Errorf("the gap of a head of %v is filled by %+v", size(small), added[0])
	}
}
