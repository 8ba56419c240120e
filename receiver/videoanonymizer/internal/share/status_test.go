// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// TestStatusOfNewClaims checks that the status shows a claim as soon as it is made, before the machine's heartbeat
// lists it.
func TestStatusOfNewClaims(t *testing.T) {
	t.Parallel()
	v := newView(&store{lease: time.Minute}, "", zap.NewNop())
	claim := holding{Claim: &Claim{Worker: "b-1", Machine: "b", Epoch: 3}}
	v.apply(kindWorker+".b-1", encode(Machine{Name: "b"}), 1)
	v.apply(kindWorker+".c-1", encode(Machine{Name: "c"}), 2)
	v.apply(videoKey("v"), encode(Video{Path: "in/v.mp4", State: VideoPlanned, Plan: 7, Units: 1}), 3)
	v.apply(unitKey("v", 7, 0), encode(Unit{State: UnitClaimed, holding: claim}), 4)
	machines := v.status().Machines
	require.Len(t, machines, 2)
	require.Len(t, machines[0].Doing, 1)
	assert.Equal(t, "in/v.mp4", machines[0].Doing[0].Video)
	assert.Empty(t, machines[1].Doing)
}
