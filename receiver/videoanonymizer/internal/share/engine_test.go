// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

const childEnv = "SHARE_TEST_CHILD"

func beChild() {}

func TestOneMachine(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		addVideo(t, r.root, fmt.Sprintf("v%d", i), 1+i*2500)
	}
	e, _ := r.start(r.config(""), r.options("a"))
	r.settled()
	assert.Zero(t, e.Stats().Fenced)
}

func TestThreeMachines(t *testing.T) {
	r := newRig(t)
	for i := range 12 {
		addVideo(t, r.root, fmt.Sprintf("v%d", i), 1000+i*1700)
	}
	for i, cfg := range r.cluster() {
		r.start(cfg, r.options(string(rune('a'+i))))
	}
	r.settled()
}
