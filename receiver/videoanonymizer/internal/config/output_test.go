// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFileName(t *testing.T) {
	tests := map[string]struct {
		name, container, source, want string
	}{
		"same as the source":               {"{name}_anonymized", "same", "walk.mkv", "walk_anonymized.mkv"},
		"in a folder":                      {"{name}_anonymized", "same", "monday/walk.mp4", "monday/walk_anonymized.mp4"},
		"fixed container":                  {"{name}_anonymized", "mkv", "walk.mp4", "walk_anonymized.mkv"},
		"dots in the name":                 {"{name}", "same", "walk.1.mov", "walk.1.mov"},
		"container that cannot be written": {"masked {name}", "same", "walk.wmv", "masked walk.mkv"},
		"no extension":                     {"{name}_anonymized", "same", "walk", "walk_anonymized.mp4"},
		"extension in capitals":            {"{name}_anonymized", "same", "WALK.MP4", "WALK_anonymized.mp4"},
		"placeholder in a name":            {"{name}_anonymized", "same", "{name}.mp4", "{name}_anonymized.mp4"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Output{Name: tt.name, Container: tt.container}
			assert.Equal(t, tt.want, cfg.FileName(tt.source))
		})
	}
}
