// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
)

// Config is the configuration of the receiver. README.md lists every key.
type Config = config.Config

func createDefaultConfig() component.Config { return config.Default() }
