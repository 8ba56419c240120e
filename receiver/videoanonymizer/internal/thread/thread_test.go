// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package thread

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestGo checks that the thread that is used up is never the first one of the process.
func TestGo(t *testing.T) {
	for range 100 {
		id := make(chan int)
		Go(func() { id <- unix.Gettid() })
		require.NotEqual(t, unix.Getpid(), <-id)
	}
}
