Attribute VB_Name = "xlwings_udfs"
' Made by `vram addin build` from vram_udf.py with xlwings' generator; changes are lost with the next build.
#Const App = "Microsoft Excel"
Option Explicit

Private mLastError As String

' A function's result as a cell takes it: the text of an Excel error becomes that error, each for itself in an array.
Private Function CellValue(ByVal result As Variant) As Variant
    Dim i As Long, j As Long
    Select Case Dimensions(result)
        Case 0
            result = ExcelError(result)
        Case 1
            For i = LBound(result) To UBound(result)
                result(i) = ExcelError(result(i))
            Next i
        Case 2
            For i = LBound(result, 1) To UBound(result, 1)
                For j = LBound(result, 2) To UBound(result, 2)
                    result(i, j) = ExcelError(result(i, j))
                Next j
            Next i
    End Select
    CellValue = result
End Function

Private Function ExcelError(ByVal value As Variant) As Variant
    ExcelError = value
    If VarType(value) <> vbString Then Exit Function
    Select Case value
        Case "#NULL!": ExcelError = CVErr(xlErrNull)
        Case "#DIV/0!": ExcelError = CVErr(xlErrDiv0)
        Case "#VALUE!": ExcelError = CVErr(xlErrValue)
        Case "#REF!": ExcelError = CVErr(xlErrRef)
        Case "#NAME?": ExcelError = CVErr(xlErrName)
        Case "#NUM!": ExcelError = CVErr(xlErrNum)
        Case "#N/A": ExcelError = CVErr(xlErrNA)
        ' Newer errors, which came in with an argument. As numbers: Excel 2016 has no names for them.
        Case "#GETTING_DATA": ExcelError = CVErr(2043)
        Case "#SPILL!": ExcelError = CVErr(2045)
        Case "#CONNECT!": ExcelError = CVErr(2046)
        Case "#BLOCKED!": ExcelError = CVErr(2047)
        Case "#UNKNOWN!": ExcelError = CVErr(2048)
        Case "#FIELD!": ExcelError = CVErr(2049)
        Case "#CALC!": ExcelError = CVErr(2050)
        Case "#BUSY!", "#PYTHON!", "#EXTERNAL!": ExcelError = CVErr(xlErrValue)
    End Select
End Function

' VBA can only find this out by asking for a bound that is not there.
Private Function Dimensions(ByRef value As Variant) As Long
    Dim bound As Long, found As Long
    If Not IsArray(value) Then Exit Function
    On Error Resume Next
    Do
        bound = UBound(value, found + 1)
        If Err.Number <> 0 Then Exit Do
        found = found + 1
    Loop
    Err.Clear
    Dimensions = found
End Function

' An exception: Python, or the way to it, failed.
Private Function Failed(ByVal message As String) As Variant
    mLastError = message
    Failed = CVErr(xlErrValue)
End Function

Function VRAM_LAST_ERROR() As Variant
Attribute VRAM_LAST_ERROR.VB_Description = "The last message from Python: why a VRAM function shows #VALUE! although VRAM_CHECK finds nothing."
Attribute VRAM_LAST_ERROR.VB_ProcData.VB_Invoke_Func = " \n14"
    Application.Volatile
    VRAM_LAST_ERROR = mLastError
End Function

Function VRAM_BREAKDOWN(model, context, Optional users, Optional precision, Optional kv_precision, Optional overhead, Optional unit)
Attribute VRAM_BREAKDOWN.VB_Description = "Weights, KV cache, overhead and total, labelled, one column for each scenario; the arguments of VRAM_TOTAL."
Attribute VRAM_BREAKDOWN.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_BREAKDOWN = CellValue(XLPy.CallUDF("vram_udf", "VRAM_BREAKDOWN", Array(model, context, users, precision, kv_precision, overhead, unit), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_BREAKDOWN = CellValue(XLPy.CallUDF("vram_udf", "VRAM_BREAKDOWN", Array(model, context, users, precision, kv_precision, overhead, unit)))
        Exit Function
    #End If
failed:
    VRAM_BREAKDOWN = Failed(Err.Description)
End Function

Function VRAM_CHECK(model, context, Optional users, Optional precision, Optional kv_precision, Optional overhead, Optional unit)
Attribute VRAM_CHECK.VB_Description = "OK, or one sentence: what is wrong with the arguments of VRAM_TOTAL and what to write instead."
Attribute VRAM_CHECK.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_CHECK = CellValue(XLPy.CallUDF("vram_udf", "VRAM_CHECK", Array(model, context, users, precision, kv_precision, overhead, unit), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_CHECK = CellValue(XLPy.CallUDF("vram_udf", "VRAM_CHECK", Array(model, context, users, precision, kv_precision, overhead, unit)))
        Exit Function
    #End If
failed:
    VRAM_CHECK = Failed(Err.Description)
End Function

Function VRAM_GPU(name, Optional field)
Attribute VRAM_GPU.VB_Description = "What is known of a GPU: one field of its card (""memory_gb"", ""tdp_w"" ...), or the whole card, labelled."
Attribute VRAM_GPU.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_GPU = CellValue(XLPy.CallUDF("vram_udf", "VRAM_GPU", Array(name, field), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_GPU = CellValue(XLPy.CallUDF("vram_udf", "VRAM_GPU", Array(name, field)))
        Exit Function
    #End If
failed:
    VRAM_GPU = Failed(Err.Description)
End Function

Function VRAM_GPUS(model, context, users, gpu, Optional precision, Optional kv_precision, Optional overhead)
Attribute VRAM_GPUS.VB_Description = "The fewest GPUs that can be deployed for the users: whole replicas, each split as the model and a node allow."
Attribute VRAM_GPUS.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_GPUS = CellValue(XLPy.CallUDF("vram_udf", "VRAM_GPUS", Array(model, context, users, gpu, precision, kv_precision, overhead), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_GPUS = CellValue(XLPy.CallUDF("vram_udf", "VRAM_GPUS", Array(model, context, users, gpu, precision, kv_precision, overhead)))
        Exit Function
    #End If
failed:
    VRAM_GPUS = Failed(Err.Description)
End Function

Function VRAM_KV(model, context, Optional users, Optional kv_precision, Optional unit)
Attribute VRAM_KV.VB_Description = "GPU memory of the KV cache of all users, each with its whole context: =VRAM_KV(""llama-3.1-70b"", 32768, 10)."
Attribute VRAM_KV.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_KV = CellValue(XLPy.CallUDF("vram_udf", "VRAM_KV", Array(model, context, users, kv_precision, unit), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_KV = CellValue(XLPy.CallUDF("vram_udf", "VRAM_KV", Array(model, context, users, kv_precision, unit)))
        Exit Function
    #End If
failed:
    VRAM_KV = Failed(Err.Description)
End Function

Function VRAM_KV_PER_TOKEN(model, Optional kv_precision, Optional unit)
Attribute VRAM_KV_PER_TOKEN.VB_Description = "GPU memory by which one long sequence grows with each token: =VRAM_KV_PER_TOKEN(""llama-3.1-70b"",,""B"") is 327680."
Attribute VRAM_KV_PER_TOKEN.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_KV_PER_TOKEN = CellValue(XLPy.CallUDF("vram_udf", "VRAM_KV_PER_TOKEN", Array(model, kv_precision, unit), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_KV_PER_TOKEN = CellValue(XLPy.CallUDF("vram_udf", "VRAM_KV_PER_TOKEN", Array(model, kv_precision, unit)))
        Exit Function
    #End If
failed:
    VRAM_KV_PER_TOKEN = Failed(Err.Description)
End Function

Function VRAM_MAX_CONTEXT(model, users, gpu, gpus, Optional precision, Optional kv_precision, Optional overhead)
Attribute VRAM_MAX_CONTEXT.VB_Description = "The most tokens that each user can have on so many GPUs, at most the model's own limit; 0 if it does not fit."
Attribute VRAM_MAX_CONTEXT.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_MAX_CONTEXT = CellValue(XLPy.CallUDF("vram_udf", "VRAM_MAX_CONTEXT", Array(model, users, gpu, gpus, precision, kv_precision, overhead), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_MAX_CONTEXT = CellValue(XLPy.CallUDF("vram_udf", "VRAM_MAX_CONTEXT", Array(model, users, gpu, gpus, precision, kv_precision, overhead)))
        Exit Function
    #End If
failed:
    VRAM_MAX_CONTEXT = Failed(Err.Description)
End Function

Function VRAM_MAX_USERS(model, context, gpu, gpus, Optional precision, Optional kv_precision, Optional overhead)
Attribute VRAM_MAX_USERS.VB_Description = "The most concurrent users that so many GPUs can be deployed for; 0 if not even the model fits."
Attribute VRAM_MAX_USERS.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_MAX_USERS = CellValue(XLPy.CallUDF("vram_udf", "VRAM_MAX_USERS", Array(model, context, gpu, gpus, precision, kv_precision, overhead), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_MAX_USERS = CellValue(XLPy.CallUDF("vram_udf", "VRAM_MAX_USERS", Array(model, context, gpu, gpus, precision, kv_precision, overhead)))
        Exit Function
    #End If
failed:
    VRAM_MAX_USERS = Failed(Err.Description)
End Function

Function VRAM_MODEL(name, Optional field)
Attribute VRAM_MODEL.VB_Description = "What is known of a model: one field of its card (""parameters"", ""source"" ...), or the whole card, labelled."
Attribute VRAM_MODEL.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_MODEL = CellValue(XLPy.CallUDF("vram_udf", "VRAM_MODEL", Array(name, field), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_MODEL = CellValue(XLPy.CallUDF("vram_udf", "VRAM_MODEL", Array(name, field)))
        Exit Function
    #End If
failed:
    VRAM_MODEL = Failed(Err.Description)
End Function

Function VRAM_PRECISION(name, Optional field)
Attribute VRAM_PRECISION.VB_Description = "What is known of a number format: one field of its card (""bits_per_value"" ...), or the whole card, labelled."
Attribute VRAM_PRECISION.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_PRECISION = CellValue(XLPy.CallUDF("vram_udf", "VRAM_PRECISION", Array(name, field), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_PRECISION = CellValue(XLPy.CallUDF("vram_udf", "VRAM_PRECISION", Array(name, field)))
        Exit Function
    #End If
failed:
    VRAM_PRECISION = Failed(Err.Description)
End Function

Function VRAM_TOTAL(model, context, Optional users, Optional precision, Optional kv_precision, Optional overhead, Optional unit)
Attribute VRAM_TOTAL.VB_Description = "GPU memory to serve a model: weights, KV cache and overhead. =VRAM_TOTAL(""llama-3.1-70b"", 32768, 10)"
Attribute VRAM_TOTAL.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_TOTAL = CellValue(XLPy.CallUDF("vram_udf", "VRAM_TOTAL", Array(model, context, users, precision, kv_precision, overhead, unit), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_TOTAL = CellValue(XLPy.CallUDF("vram_udf", "VRAM_TOTAL", Array(model, context, users, precision, kv_precision, overhead, unit)))
        Exit Function
    #End If
failed:
    VRAM_TOTAL = Failed(Err.Description)
End Function

Function VRAM_WEIGHTS(model, Optional precision, Optional unit)
Attribute VRAM_WEIGHTS.VB_Description = "GPU memory of a model's weights. A number for the model is billions of parameters: =VRAM_WEIGHTS(70) is 140 GB."
Attribute VRAM_WEIGHTS.VB_ProcData.VB_Invoke_Func = " \n14"
    #If App = "Microsoft Excel" Then
        If TypeOf Application.Caller Is Range Then On Error GoTo failed
        VRAM_WEIGHTS = CellValue(XLPy.CallUDF("vram_udf", "VRAM_WEIGHTS", Array(model, precision, unit), ThisWorkbook, Application.Caller))
        Exit Function
    #Else
        VRAM_WEIGHTS = CellValue(XLPy.CallUDF("vram_udf", "VRAM_WEIGHTS", Array(model, precision, unit)))
        Exit Function
    #End If
failed:
    VRAM_WEIGHTS = Failed(Err.Description)
End Function

