// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package connector // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/connector"

import (
	"go.opentelemetry.io/collector/connector"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"
)

// NewFactory returns the factory of the connector.
func NewFactory() connector.Factory {
	return attrtometrics.NewConnectorFactory()
}
