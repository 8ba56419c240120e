// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !cgo

package driver_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

func TestUnsupportedPlatform(t *testing.T) {
	assert.Equal(t, driver.PlatformUnsupported, driver.New("").Open())
	assert.True(t, driver.PlatformUnsupported.DriverMissing())
}
