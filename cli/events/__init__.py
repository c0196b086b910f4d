"""Usage events in files: how they are read and sent, fetched and written.

file → sources → json_rows, cloudevents, csv_rows, parquet_rows → fields → batches → sending
fetching → json_writing → csv_writing, parquet_writing → file
"""
