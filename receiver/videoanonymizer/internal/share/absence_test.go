// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestAbsence checks that servers that still have to find each other cause no warning unless that takes long, and that
// all other errors cause one at once.
func TestAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		a := absence{logger: zap.New(core), patience: time.Minute}
		silent := fmt.Errorf("open: %w", context.DeadlineExceeded)
		levels := func() (levels []string) {
			for _, l := range logs.TakeAll() {
				levels = append(levels, l.Level.String())
			}
			return levels
		}
		for range 3 {
			a.explain(silent, true)
		}
		assert.Contains(t, logs.All()[0].Message, "waiting for a majority of the servers")
		assert.Equal(t, []string{"info"}, levels())
		time.Sleep(2 * time.Minute)
		a.explain(silent, true)
		a.explain(silent, true)
		assert.Equal(t, []string{"warn"}, levels())
		a.ended()
		a.explain(silent, true)
		assert.Equal(t, []string{"info"}, levels())
		a.explain(fmt.Errorf("create: %w", &jetstream.APIError{Code: 503, Description: "no suitable peers"}), true)
		assert.Equal(t, []string{"info"}, levels())
		a.explain(errors.New("root: no such folder"), true)
		a.explain(silent, false)
		a.explain(&jetstream.APIError{Code: 403}, true)
		assert.Equal(t, []string{"warn", "warn", "warn"}, levels())
	})
}
