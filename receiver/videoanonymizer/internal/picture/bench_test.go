// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// BenchmarkJPEG reads, decodes, encodes, and verifies a picture.
func BenchmarkJPEG(b *testing.B) {
	for _, size := range [][2]int{{1920, 1080}, {4000, 3000}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			folder := b.TempDir()
			in := filepath.Join(folder, "in.jpg")
			require.NoError(b, os.WriteFile(in, jpegOf(b, scene(size[0], size[1]), 90), 0o600))
			for i := range b.N {
				file, err := Read(in, media.Limits{})
				require.NoError(b, err)
				p, err := file.Decode(b.Context(), media.Tools{})
				require.NoError(b, err)
				f := p.Frames()
				maskPart(f[0])
				require.NoError(b, p.Write(b.Context(), filepath.Join(folder, fmt.Sprint(i)), f, Options{}))
			}
		})
	}
}
