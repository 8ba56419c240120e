// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStatusWithoutMajority checks that a share without a majority of its servers does not answer, and that the error
// says what to look at. The folder can still be read.
func TestStatusWithoutMajority(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var stops []func()
	configs := r.cluster()
	for _, cfg := range configs {
		_, stop := r.start(cfg, r.options(cfg.Embedded.Node))
		stops = append(stops, stop)
	}
	addVideo(t, r.root, "v", 5000)
	r.settled()
	r.until("the mirror has it", func() bool {
		status, written, err := ReadMirror(r.root, "test")
		return err == nil && status.Counts[VideoDone] == 1 && time.Since(written) < time.Minute
	})
	ask := func(timeout time.Duration) (Status, error) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		client, err := Dial(ctx, configs[0], r.logger)
		if err != nil {
			return Status{}, err
		}
		defer client.Close()
		return client.Status(ctx)
	}
	r.until("all three are alive", func() bool {
		status, err := ask(time.Minute)
		require.NoError(t, err)
		alive := slices.DeleteFunc(status.Machines, func(m MachineStatus) bool { return !m.Alive })
		return len(alive) == 3
	})
	stops[1]()
	stops[2]()
	var err error
	r.until("nobody answers", func() bool {
		_, err = ask(2 * time.Second)
		return err != nil
	})
	assert.ErrorContains(t, err, "most servers are down")
	names, err := Names(r.root)
	require.NoError(t, err)
	assert.Equal(t, []string{"test"}, names)
}
