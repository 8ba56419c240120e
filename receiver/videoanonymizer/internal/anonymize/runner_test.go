// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// TestVerificationIsNotRetried: an output that is not what was written would be so again.
func TestVerificationIsNotRetried(t *testing.T) {
	for err, want := range map[error]string{
		media.ErrVerification:   "verification, false",
		media.ErrSeveralStreams: "several_streams, false",
		media.ErrTool:           "ffmpeg, true",
		media.ErrNoHEVC:         "unsupported, true",
	} {
		reason, temporary := classify(fmt.Errorf("%q: %w", "a.mp4", err))
		assert.Equal(t, want, fmt.Sprintf("%s, %t", reason, temporary))
	}
}
